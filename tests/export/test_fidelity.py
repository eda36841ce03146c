"""The formulas of the gates, by hand and against other formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from dualtower_export.fidelity import compare_rankings, cosines, largest_error, overlap_at


def test_cosines_by_hand() -> None:
    left = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [np.nan, 1.0]], np.float32)
    right = np.array([[6.0, 8.0], [0.0, 2.0], [1.0, 0.0], [1.0, 1.0]], np.float32)
    assert cosines(left, right).tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0])


@given(st_numpy.arrays(np.float32, (4, 3), elements=st.floats(-1, 1, width=16)))
def test_cosine_is_that_of_the_law_of_cosines(values: np.ndarray) -> None:
    left, right = values[:2].astype(np.float64), values[2:].astype(np.float64)
    lengths = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    found = cosines(values[:2], values[2:])
    squared = lengths[0] ** 2 + lengths[1] ** 2 - ((left - right) ** 2).sum(axis=1)
    assert found * lengths[0] * lengths[1] * 2 == pytest.approx(squared, abs=1e-9)


def test_largest_error_of_what_cannot_be_compared_is_infinite() -> None:
    one = np.ones((2, 2), np.float32)
    assert largest_error(one, one + 0.25) == 0.25
    assert largest_error(one, one[:1]) == np.inf
    assert largest_error(one, np.full((2, 2), np.nan, np.float32)) == np.inf
    assert largest_error(one[:0], one[:0]) == 0.0


def test_overlap_by_hand() -> None:
    left = np.array([[1, 2, 3, 4], [1, 2, 3, 4]])
    right = np.array([[4, 3, 2, 1], [9, 2, 8, 1]])
    assert overlap_at(4, left, right).tolist() == [1.0, 0.5]
    assert overlap_at(2, left, right).tolist() == [0.0, 0.5]
    assert overlap_at(10, left, right).tolist() == [1.0, 0.5]


def test_a_ranking_change_by_hand() -> None:
    # 12 items, scores fall with the row; the variant swaps what is first for what was last
    before = np.tile(-np.arange(12.0), (3, 1))
    after = before.copy()
    after[:, 0], after[:, 11] = -11.0, 1.0
    targets = [np.array([0]), np.array([0, 5]), np.array([], int)]
    change = compare_rankings(before, after, targets)
    assert change.recall_float == pytest.approx(1.0)
    assert change.recall == pytest.approx((0 + 0.5) / 2)
    assert change.overlap == pytest.approx(0.9)
    assert change.users == 2
    # the differences are 1 and 1/2: deviation 0.3536, over the root of two
    assert change.loss_se == pytest.approx(0.25)


def test_no_change_loses_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 30))
    change = compare_rankings(scores, scores.copy(), [np.array([1])] * 5)
    assert change.recall == change.recall_float
    assert (change.overlap, change.loss_se) == (1.0, 0.0)
