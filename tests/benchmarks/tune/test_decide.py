"""The decision against scipy's rank test, and against chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dualtower_benchmarks.tune.decide import decide, fewest_repeats
from dualtower_benchmarks.tune.rounds import QUICK, ROUNDS


@pytest.mark.parametrize("repeats", [2, 3, 4, 6])
def test_apart_is_the_extreme_of_the_rank_test(repeats: int) -> None:
    low = np.arange(repeats, dtype=float) + 100
    p = stats.mannwhitneyu(low + 50, low, alternative="greater", method="exact").pvalue
    found = decide("present", {"present": list(low), "a": list(low + 50)}, resolution=0.05)
    assert found.changed == (p <= 0.05)
    assert ("too few repeats" in found.words) == (p > 0.05)
    assert (repeats >= fewest_repeats(1)) == (p <= 0.05)


def test_of_equal_settings_one_in_twenty_is_picked_at_the_most() -> None:
    generator = np.random.default_rng(5)
    runs, picked = 3000, 0
    for limits in generator.lognormal(5.0, 0.2, size=(runs, 3, 4)):
        three = dict(zip(("present", "a", "b"), limits.tolist(), strict=True))
        picked += decide("present", three, resolution=0.0).changed
    assert 0 < picked / runs < 0.05


def test_the_last_rounds_have_the_repeats_for_it() -> None:
    for rounds in (ROUNDS, QUICK):
        assert rounds[-1].repeats >= fewest_repeats(rounds[-1].most - 1)


def test_what_overlaps_or_is_too_near_changes_nothing() -> None:
    own = [100.0, 101.0, 99.0, 120.0]
    stays = decide("present", {"present": own, "a": [130.0, 131.0, 132.0, 119.0]}, resolution=0.05)
    assert (stays.picked, stays.changed) == ("present", False)
    assert "within what repeats of the same differ by" in stays.words
    better = decide("present", {"present": own, "a": [130.0, 131.0, 132.0, 121.0]}, resolution=0.05)
    assert (better.picked, better.changed) == ("a", True)
    near = decide("present", {"present": own, "a": [120.5, 121.0, 122.0, 123.0]}, resolution=0.3)
    assert not near.changed
    assert "less than the search tells apart" in near.words


def test_where_the_present_holds_nothing_anything_is_better() -> None:
    none: list[float | None] = [None] * 4
    assert decide("present", {"present": none, "a": [9.0, 9.0, 9.0, 8.0]}, resolution=0.05).changed
    assert not decide("present", {"present": none, "a": none}, resolution=0.05).changed
    assert not decide("present", {"present": [9.0] * 4}, resolution=0.05).changed


def test_a_present_setting_that_the_generator_bounds_may_be_better_than_it_looks() -> None:
    limits = {"present": [100.0] * 4, "a": [200.0] * 4}
    found = decide("present", limits, resolution=0.05, generator_bound=True)
    assert not found.changed
    assert "the generator, not the server" in found.words
