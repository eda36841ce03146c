"""Trend and cold share, against loops over what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.closed_form import cold_scale_for_share, share_of_cold, trend_scale

DAY_S = 86_400


@pytest.mark.parametrize(("power", "freshness"), [(0.5, 0.0), (1.0, 0.3)])
def test_the_trend_is_that_of_a_loop(power: float, freshness: float) -> None:
    random = np.random.default_rng(0)
    items = random.integers(0, 8, 200)
    times = random.integers(0, 100 * DAY_S, 200)
    now, half_life, smoothing, young = 100 * DAY_S, 20.0 * DAY_S, 10.0, 5.0 * DAY_S
    found = trend_scale(
        items, times, 9, now_s=now, half_life_s=half_life, power=power, smoothing=smoothing,
        freshness=freshness, young_s=young,
    )  # fmt: skip
    recent, counts, first = [0.0] * 9, [0] * 9, [float("inf")] * 9
    for item, time in zip(items, times, strict=True):
        recent[item] += 0.5 ** ((now - time) / half_life)
        counts[item] += 1
        first[item] = min(first[item], time)
    typical = sum(recent) / 200
    raw = [
        ((recent[item] + smoothing * typical) / (counts[item] + smoothing)) ** power
        * (1 + (now - first[item]) / young) ** -freshness
        for item in range(8)
    ]
    mean = sum(raw[item] * counts[item] for item in range(8)) / 200
    np.testing.assert_allclose(found[:8], np.array(raw) / mean, rtol=1e-5)
    assert found[8] == 1, "nobody took it, so it has no trend"
    assert np.average(found, weights=counts) == pytest.approx(1, rel=1e-5)


def test_without_power_or_log_there_is_no_trend() -> None:
    nothing = np.empty(0, np.int64)
    options = {"now_s": 5, "half_life_s": 1.0, "smoothing": 1.0}
    np.testing.assert_array_equal(
        trend_scale(np.array([1]), np.array([3]), 2, power=0.0, **options), 1
    )
    np.testing.assert_array_equal(trend_scale(nothing, nothing, 2, power=1.0, **options), 1)


def test_the_share_of_cold_counts_what_is_shown() -> None:
    scores = np.array([[3.0, 2, 1, 0], [1, 2, -np.inf, -np.inf]])
    cold = np.array([False, True, True, False])
    assert share_of_cold(scores, cold, 2) == pytest.approx(2 / 4)
    assert share_of_cold(scores, cold, 3) == pytest.approx((2 + 1) / 5)
    assert share_of_cold(np.full((2, 4), -np.inf), cold, 2) == 0


@pytest.mark.parametrize("share", [0.05, 0.15, 0.5])
def test_bisection_reaches_the_share(share: float) -> None:
    random = np.random.default_rng(1)
    base, cold = random.gamma(2.0, size=(300, 200)), np.arange(200) < 30
    base[:, cold] /= 5

    def scores(scale: float) -> np.ndarray:
        return np.where(cold, base * scale, base)

    scale = cold_scale_for_share(scores, cold, share=share)
    assert share_of_cold(scores(scale), cold, 20) == pytest.approx(share, abs=0.01)


def test_a_share_out_of_reach_gives_the_end() -> None:
    scores = np.array([[-1.0, -2.0]])  # no factor brings a number below 0 above another
    cold = np.array([False, True])
    never = cold_scale_for_share(lambda scale: scores, cold, share=1.0, k=1)
    assert never == pytest.approx(32, rel=0.01)
    always = cold_scale_for_share(lambda scale: scores[:, ::-1], cold, share=0.0, k=1)
    assert always == pytest.approx(1 / 32, rel=0.01)
