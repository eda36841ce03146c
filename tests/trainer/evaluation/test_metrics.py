"""Metrics against definitions written out the long way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_trainer.metrics import (
    estimate,
    ndcg_at,
    recall_at,
    reciprocal_rank,
    top_k,
)


def by_hand(scores: list[float], wanted: set[int], k: int) -> tuple[float, float, float]:
    """Recall@k, NDCG@k and reciprocal rank by sorting and counting."""
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], item))
    hits = [item in wanted for item in order[:k]]
    gain = sum(1 / math.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(wanted))))
    first = next(rank for rank, item in enumerate(order, 1) if item in wanted)
    return sum(hits) / min(k, len(wanted)), gain / ideal, 1 / first


@settings(max_examples=200, deadline=None)
@given(data=st.data(), n_items=st.integers(1, 30), k=st.integers(1, 12))
def test_metrics_equal_their_definitions_also_with_ties(
    data: st.DataObject, n_items: int, k: int
) -> None:
    scores = data.draw(st.lists(st.integers(0, 4), min_size=n_items, max_size=n_items))
    wanted = data.draw(st.sets(st.integers(0, n_items - 1), min_size=1))
    matrix = np.array([scores], np.float32)
    targets = [np.array(sorted(wanted))]
    ranked = top_k(matrix, k)
    recall, ndcg, rank = by_hand(scores, wanted, k)
    assert recall_at(k, ranked, targets)[0] == pytest.approx(recall)
    assert ndcg_at(k, ranked, targets)[0] == pytest.approx(ndcg)
    assert reciprocal_rank(matrix, targets)[0] == pytest.approx(rank)


def test_top_k_keeps_the_lower_index_of_a_tie_that_is_cut() -> None:
    assert top_k(np.array([[1.0, 2.0, 2.0, 2.0, 0.0]]), 2).tolist() == [[1, 2]]


def test_a_user_without_targets_has_no_value() -> None:
    ranked = np.array([[0, 1]])
    nobody = [np.array([], np.int64)]
    assert np.isnan(recall_at(2, ranked, nobody)).all()
    assert np.isnan(ndcg_at(2, ranked, nobody)).all()
    assert np.isnan(reciprocal_rank(np.array([[1.0, 0.5]]), nobody)).all()


def test_the_standard_error_is_the_deviation_over_the_root_of_the_users() -> None:
    values = np.array([0.0, 0.5, 1.0, np.nan])
    found = estimate(values)
    assert found.value == pytest.approx(0.5)
    assert found.se == pytest.approx(np.std([0.0, 0.5, 1.0], ddof=1) / math.sqrt(3))
    assert found.users == 3


def test_an_unfilled_place_is_no_hit() -> None:
    ranked = np.array([[3, -1, -1], [-1, -1, -1]])
    targets = [np.array([3, 5]), np.array([0])]
    assert recall_at(3, ranked, targets).tolist() == [0.5, 0.0]
    assert ndcg_at(3, ranked, targets)[1] == 0.0
    assert recall_at(3, np.empty((0, 3), int), []).tolist() == []
