"""Schedules against the definition of their processes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dualtower_benchmarks.load.arrivals import constant, poisson


def test_poisson_gaps_are_exponential_and_counts_are_poisson() -> None:
    gaps_s = np.diff(poisson(500.0, 20.0, seed=1)) / 1e9
    assert stats.kstest(gaps_s, "expon", args=(0, 1 / 500.0)).pvalue > 0.01
    counts = [len(poisson(40.0, 1.0, seed=seed)) for seed in range(500)]
    # the sum of 500 counts is Poisson(20,000): four standard deviations are 566
    assert abs(sum(counts) - 20_000) < 566
    assert np.var(counts) == pytest.approx(40.0, rel=0.3)


def test_poisson_fills_the_whole_time_and_repeats_by_seed() -> None:
    offsets = poisson(1000.0, 3.0, seed=2)
    assert offsets.dtype == np.int64
    assert (np.diff(offsets) >= 0).all()
    assert offsets[0] >= 0
    assert 2.9e9 < offsets[-1] < 3e9
    assert np.array_equal(offsets, poisson(1000.0, 3.0, seed=2))
    assert not np.array_equal(offsets[:50], poisson(1000.0, 3.0, seed=3)[:50])


def test_constant_is_even() -> None:
    assert constant(4.0, 1.0).tolist() == [0, 250_000_000, 500_000_000, 750_000_000]
    assert len(constant(3.0, 0.1)) == 1


@pytest.mark.parametrize(("rate", "duration"), [(0, 1), (-1, 1), (np.inf, 1), (1, 0), (1, np.nan)])
def test_impossible_schedules_are_refused(rate: float, duration: float) -> None:
    with pytest.raises(ValueError, match="positive number of"):
        poisson(rate, duration, seed=0)
    with pytest.raises(ValueError, match="positive number of"):
        constant(rate, duration)
