"""The slope of Theil and Sen against scipy's, and what is called a growth."""

from __future__ import annotations

import numpy as np
import pytest
from doctored import curve

from dualtower_benchmarks.events.soak import growth_of
from dualtower_benchmarks.stats.theil_sen import FEWEST, block_medians, slope_of

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("n", [8, 9, 20, 61])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("are_tied", [False, True])
def test_it_is_that_of_scipy(n: int, confidence: float, are_tied: bool) -> None:
    generator = np.random.default_rng(n)
    x = np.sort(generator.uniform(0, 100, n))
    y = 0.3 * x + generator.standard_t(2, n)
    if are_tied:
        x, y = np.floor(x / 10), np.round(y)
    found = slope_of(x, y, confidence=confidence)
    wanted = stats.theilslopes(y, x, alpha=confidence)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx(wanted[[0, 2, 3]] if isinstance(
        wanted, np.ndarray) else (wanted.slope, wanted.low_slope, wanted.high_slope))  # fmt: skip
    assert found.n == n


def test_few_values_have_none() -> None:
    few = np.arange(FEWEST - 1, dtype=np.float64)
    assert slope_of(few, few) is None
    assert slope_of(np.zeros(20), np.arange(20.0)) is None


def test_the_interval_holds_the_slope_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    x = np.arange(40.0)
    held = 0
    for _ in range(300):
        found = slope_of(x, 2.0 * x + generator.standard_t(2, len(x)))
        assert found is not None
        held += found.low <= 2.0 <= found.high
    assert 0.91 * 300 <= held <= 300


def test_a_third_of_the_values_may_be_anything() -> None:
    x = np.arange(60.0)
    y = 0.5 * x
    y[::4] += 1000.0
    found = slope_of(x, y)
    assert found is not None
    assert found.value == pytest.approx(0.5)


def test_blocks_keep_the_line() -> None:
    x = np.arange(600.0)
    t, y = block_medians(x, 3 * x, blocks=60)
    assert len(t) == len(y) == 60
    assert y == pytest.approx(3 * t)
    assert block_medians(x[:5], x[:5], blocks=60)[0] is not None


def test_a_leak_is_called_one_and_a_server_that_fills_up_is_not() -> None:
    for seed in range(5):
        t_s, leaking = curve(leak_mb_an_hour=60.0, seed=seed)
        found = growth_of(t_s, leaking, from_s=60.0, floor=16.0, confidence=0.95)
        assert found is not None
        assert found["grows"]
        assert found["per_hour"] == pytest.approx(60.0, rel=0.05)
        t_s, keeping = curve(leak_mb_an_hour=0.0, seed=seed)
        found = growth_of(t_s, keeping, from_s=60.0, floor=16.0, confidence=0.95)
        assert found is not None
        assert not found["grows"]


def test_a_growth_below_the_floor_is_none() -> None:
    t_s, slow = curve(leak_mb_an_hour=20.0)
    found = growth_of(t_s, slow, from_s=60.0, floor=16.0, confidence=0.95)
    assert found is not None
    assert found["low"] > 0
    assert not found["grows"]
    assert growth_of(t_s[:5], slow[:5], from_s=0.0, floor=1.0, confidence=0.95) is None
