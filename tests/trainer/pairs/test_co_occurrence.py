"""Co-consumption against loops over people and pairs of events."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse

import dualtower_trainer.pairs.co_occurrence as module
from dualtower_trainer.pairs import co_consumption

ITEMS = 48


def whole(*arguments, **options) -> sparse.csr_matrix:
    """The blocks of `co_consumption` as one matrix."""
    blocks = list(co_consumption(*arguments, **options))
    starts = np.cumsum([0, *(block.shape[0] for _, block in blocks)])
    assert [first for first, _ in blocks] == starts[:-1].tolist()
    return sparse.vstack([block for _, block in blocks]).tocsr()


def counted(log, window_s: int | None) -> tuple[np.ndarray, np.ndarray]:
    """People of each pair, and of each item, by the plainest loop."""
    pairs, single = np.zeros((ITEMS, ITEMS)), np.zeros(ITEMS)
    for user in np.unique(log.users):
        mine = log.users == user
        events = list(zip(log.items[mine], log.timestamps[mine], strict=True))
        found = {
            tuple(sorted((a, b)))
            for (a, s), (b, t) in itertools.combinations(events, 2)
            if a != b and (window_s is None or abs(s - t) <= window_s)
        }
        for a, b in found:
            pairs[a, b] += 1
            pairs[b, a] += 1
        for item in {item for item, _ in events}:
            single[item] += 1
    return pairs, single


@pytest.mark.parametrize("window_s", [None, 0, 3_600, 86_400, 10**12])
@pytest.mark.parametrize("weighting", ["cosine", "pmi"])
def test_equals_the_formula_on_counted_people(log, window_s, weighting) -> None:
    pairs, single = counted(log, window_s)
    product = np.outer(single, single)
    if weighting == "cosine":
        expected = np.where(pairs >= 2, pairs / (np.sqrt(product) + 10), 0)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            npmi = np.log(pairs * 60 / product) / np.log(60 / pairs)
        expected = np.where(pairs >= 2, np.maximum(npmi, 0), 0)
    ours = whole(log, ITEMS, window_s=window_s, weighting=weighting)
    np.testing.assert_allclose(ours.toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 7, 50])
def test_small_pieces_count_the_same(log, monkeypatch, at_once) -> None:
    in_one_piece = whole(log, ITEMS, window_s=200_000, min_count=1)
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", at_once)
    monkeypatch.setattr("dualtower_trainer.pairs.neighbours._BLOCK_ROWS", 5)
    pieces = whole(log, ITEMS, window_s=200_000, min_count=1)
    assert (in_one_piece != pieces).nnz == 0


def test_a_pair_that_everybody_took_has_the_full_mutual_information(make_interactions) -> None:
    log = make_interactions([0, 0, 1, 1], [0, 1, 0, 1])
    assert whole(log, 2, weighting="pmi").toarray().tolist() == [[0, 1], [1, 0]]


def test_repeats_of_one_person_are_no_evidence(make_interactions) -> None:
    log = make_interactions([0] * 6 + [1], [0, 1, 0, 1, 0, 1, 0], [0, 1, 2, 3, 4, 5, 0])
    for window_s in (None, 10):
        assert whole(log, 2, window_s=window_s).nnz == 0
        assert whole(log, 2, window_s=window_s, min_count=1).nnz == 2


def test_an_empty_log_has_no_pairs_and_a_wrong_weighting_is_named(make_interactions) -> None:
    for window_s in (None, 5):
        assert whole(make_interactions([], []), 3, window_s=window_s).nnz == 0
    with pytest.raises(ValueError, match="weighting must be one of"):
        co_consumption(make_interactions([], []), 3, weighting="lift")
