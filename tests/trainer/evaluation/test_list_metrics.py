"""What lists show, against the definitions in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_trainer.history_lengths import BUCKETS, bucket_of
from dualtower_trainer.list_metrics import (
    calibration_kl,
    category_codes,
    coverage,
    gini,
    shown_counts,
)


def test_counts_leave_empty_places_out() -> None:
    lists = np.array([[0, 2, -1], [2, -1, -1]])
    assert shown_counts(lists, 4).tolist() == [1, 0, 2, 0]
    assert coverage(np.array([1, 0, 2, 0])) == 0.5


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=12).filter(any))
def test_gini_is_half_the_mean_difference_over_the_mean(counts: list[int]) -> None:
    differences = np.mean([[abs(a - b) for a in counts] for b in counts])
    assert gini(np.array(counts)) == pytest.approx(differences / (2 * np.mean(counts)))


def test_gini_at_its_ends() -> None:
    assert gini(np.full(7, 3)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(0.75)
    assert math.isnan(gini(np.zeros(3)))
    assert math.isnan(gini(np.zeros(0)))


def test_calibration_is_the_smoothed_divergence() -> None:
    categories = np.array([0, 0, 1, 1, 2, -1])
    histories = [np.array([0, 1, 2, 5]), np.array([5]), np.array([4]), np.array([0])]
    lists = np.array([[2, 3, 0, -1], [0, 1, 2, 3], [0, 1, 2, 3], [5, -1, -1, -1]])
    found = calibration_kl(lists, histories, categories)
    p, q = np.array([2 / 3, 1 / 3, 0]), np.array([1 / 3, 2 / 3, 0])
    mixed = 0.99 * q + 0.01 * p
    assert found[0] == pytest.approx(
        sum(a * math.log(a / b) for a, b in zip(p, mixed, strict=True) if a)
    )
    assert math.isnan(found[1]), "a history without categories has no taste to be calibrated to"
    assert found[2] == pytest.approx(math.log(1 / 0.01)), (
        "a category that never shows costs log 1/α"
    )
    assert math.isnan(found[3])


def test_a_list_with_the_shares_of_the_history_is_calibrated() -> None:
    categories = np.array([0, 1, 0, 1])
    assert calibration_kl(np.array([[2, 3]]), [np.array([0, 1])], categories)[0] == pytest.approx(0)


def test_category_codes() -> None:
    codes = category_codes(np.array(["tea", "", "ale", "tea"], object))
    assert codes is not None
    assert codes.tolist() == [1, -1, 0, 1]
    assert category_codes(None) is None


def test_history_lengths_fall_into_their_group() -> None:
    lengths = (0, 1, 2, 3, 5, 6, 10, 11, 20, 21, 50, 51, 2000)
    names = [BUCKETS[place] for place in bucket_of([np.zeros(n, int) for n in lengths])]
    assert names == ["0", "1", "2", "3–5", "3–5", "6–10", "6–10", "11–20", "11–20", "21–50",
                     "21–50", "51+", "51+"]  # fmt: skip
