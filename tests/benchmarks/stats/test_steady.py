"""Where a warm-up ends, and whether what follows kept its level: loads whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_benchmarks.load.samples import OK, SKIPPED, Samples
from dualtower_benchmarks.stats.stationarity import SIGNIFICANCE, trend_of
from dualtower_benchmarks.stats.steady import steady_part
from dualtower_benchmarks.stats.warmup import _mser, batch_medians, transient

RATE_QPS, SECONDS = 200, 20
N = RATE_QPS * SECONDS
AT_S = np.arange(N) / RATE_QPS
SEEDS = range(20)


def load(process, seed: int, factor: np.ndarray | float = 1.0) -> Samples:
    """20 s of 200 requests a second, each latency times `factor`."""
    latency, _ = process[0](np.random.default_rng([seed, 3]), N)
    due = (AT_S * 1e9).astype(np.int64)
    return Samples(due, due, due + (latency * factor).astype(np.int64), np.full(N, OK))


@pytest.mark.parametrize("factor", [2.0, 4.0, 30.0])
def test_a_cold_start_of_two_seconds_is_cut(autoregressive, factor: float) -> None:
    process = autoregressive(0.7)
    cut_s = [
        steady_part(
            load(process, seed, np.where(AT_S < 2.0, factor, 1.0)), warmup_s=0.0, seed=seed
        ).left_out_s
        for seed in SEEDS
    ]
    assert min(cut_s) >= 1.8
    assert max(cut_s) <= 2.5


def test_a_start_that_eases_off_is_cut_where_it_is_over(autoregressive) -> None:
    process = autoregressive(0.7)
    easing = 1.0 + 9.0 * np.exp(-AT_S)  # below 1.07 from 5 s on
    cut_s = [
        steady_part(load(process, seed, easing), warmup_s=0.0, seed=seed).left_out_s
        for seed in SEEDS
    ]
    assert 2.0 <= np.median(cut_s) <= 6.0


def test_a_steady_load_is_left_whole(autoregressive, queue) -> None:
    for process in (autoregressive(0.7), autoregressive(0.95), queue(0.5)):
        found = [steady_part(load(process, s), warmup_s=1.0, seed=s) for s in SEEDS]
        assert max(one.left_out_s for one in found) <= 1.0 + 0.05 * SECONDS
        assert np.median([one.left_out_s for one in found]) <= 1.0 + 0.01 * SECONDS
        moved = sum(one.trend is not None and not one.trend.stationary for one in found)
        assert moved <= 2


def test_what_lasts_half_the_load_is_another_level_and_no_warm_up(autoregressive) -> None:
    slow = np.where(AT_S < 10.0, 3.0, 1.0)
    for seed in SEEDS:
        found = steady_part(load(autoregressive(0.7), seed, slow), warmup_s=0.0, seed=seed)
        assert found.left_out_s == 0.0
        assert found.trend is not None
        assert not found.trend.stationary


def test_a_stall_is_no_warm_up(autoregressive) -> None:
    """What MSER alone would do: leave out all that came before, together with the bad news."""
    stall = np.where((AT_S >= 2.0) & (AT_S < 4.0), 50.0, 1.0)
    for seed in SEEDS:
        samples = load(autoregressive(0.7), seed, stall)
        level = batch_medians(samples.latency_ns)
        assert 0.15 <= np.argmin(_mser(level)[:100]) / 200 <= 0.25  # it would
        assert steady_part(samples, warmup_s=0.0, seed=seed).left_out_s <= 0.3


@pytest.mark.parametrize(
    "change",
    [
        np.linspace(1.0, 1.5, N),
        np.linspace(1.0, 0.6, N),
        np.where(AT_S > 10.0, 1.4, 1.0),
        np.where(AT_S > 12.0, 1.4, 1.0),
        np.where(AT_S > 15.0, 1.4, 1.0),
    ],
)
def test_a_load_that_moves_is_not_stationary(autoregressive, change: np.ndarray) -> None:
    found = [
        steady_part(load(autoregressive(0.7), seed, change), warmup_s=0.0, seed=seed).trend
        for seed in SEEDS
    ]
    moved = [trend for trend in found if trend is not None and not trend.stationary]
    assert len(moved) >= len(found) - 1
    for trend in moved:
        assert trend.p < SIGNIFICANCE
        assert (trend.ratio > 1.05) == (change[-1] > change[0])


def test_a_movement_of_two_percent_is_significant_and_no_matter(autoregressive) -> None:
    samples = load(autoregressive(0.3, 0.03), 1, np.linspace(1.0, 1.03, N))
    trend = trend_of(samples.latency_ns, seed=1)
    assert trend is not None
    assert trend.p < SIGNIFICANCE
    assert trend.stationary


@pytest.mark.parametrize("n", [0, 1, 4, 5, 39])
def test_too_few_requests_tell_nothing(n: int) -> None:
    latency = np.arange(1, n + 1)
    assert transient(latency) == 0
    assert trend_of(latency, seed=1) is None


def test_errors_and_skipped_requests_have_no_say() -> None:
    due = (AT_S * 1e9).astype(np.int64)
    status = np.where(np.arange(N) % 7 == 0, "UNAVAILABLE", OK)
    status[N - 200 :] = SKIPPED
    latency = np.where(status == OK, 2_000_000, 900_000_000)
    latency[status == SKIPPED] = 0
    done = steady_part(Samples(due, due, due + latency, status), warmup_s=1.5, seed=1)
    assert done.left_out_s == 1.5
    assert len(done.samples) == N - 1.5 * RATE_QPS
    assert done.trend is not None
    assert done.trend.stationary


def test_requests_out_of_order_are_put_in_order(autoregressive) -> None:
    samples = load(autoregressive(0.7), 1, np.where(AT_S < 2.0, 5.0, 1.0))
    order = np.random.default_rng(1).permutation(N)
    mixed = Samples(samples.due_ns[order], samples.sent_ns[order], samples.done_ns[order],
                    samples.status[order])  # fmt: skip
    one, other = (steady_part(s, warmup_s=0.0, seed=1) for s in (samples, mixed))
    assert one.left_out_s == other.left_out_s > 0
    assert one.trend == other.trend


def test_no_request_at_all() -> None:
    nothing = steady_part(Samples.none(), warmup_s=1.0, seed=1)
    assert (len(nothing.samples), nothing.left_out_s, nothing.trend) == (0, 1.0, None)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=5, max_size=400))
def test_mser_is_its_definition(values: list[int]) -> None:
    level = batch_medians(np.array(values, dtype=np.int64))
    plain = [((level[d:] - level[d:].mean()) ** 2).sum() / len(level[d:]) ** 2
             for d in range(len(level))]  # fmt: skip
    assert _mser(level) == pytest.approx(plain, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**9), min_size=0, max_size=2000))
def test_no_more_than_a_third_is_ever_left_out(values: list[int]) -> None:
    assert transient(np.array(values, dtype=np.int64)) <= len(values) / 3
