"""Intervals of percentiles hold their promise in a queue, where plain ones do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dualtower_benchmarks.stats.block_percentiles import block_percentiles
from dualtower_benchmarks.stats.blocks import Slotted
from dualtower_benchmarks.stats.percentiles import minimum_samples, percentile
from dualtower_benchmarks.stats.student import t_over_normal

SHARES = (0.5, 0.9, 0.99)


def coverage(process, *, n: int, trials: int) -> dict[float, tuple[float, float]]:
    """By share: how often the interval by blocks, and the plain one, holds the true percentile."""
    draw, truth = process
    hits = {q: [0, 0] for q in SHARES}
    for seed in range(trials):
        latency, due = draw(np.random.default_rng([seed, 1]), n)
        slotted = Slotted.of(latency, due, slots=250)
        found = block_percentiles(slotted, SHARES, seed=seed, resamples=250)
        for q, ours in zip(SHARES, found, strict=True):
            plain = percentile(latency, q)
            assert ours is not None
            assert plain is not None
            hits[q][0] += ours.low <= truth(q) <= ours.high
            hits[q][1] += plain.low <= truth(q) <= plain.high
    return {q: (ours / trials, plain / trials) for q, (ours, plain) in hits.items()}


@pytest.mark.parametrize("load", [0.5, 0.7])
def test_intervals_hold_in_a_queue(queue, load: float) -> None:
    for q, (ours, plain) in coverage(queue(load), n=5000, trials=100).items():
        # of 100 trials at 95 % fewer than 88 have a chance of 1 in 400
        assert ours >= 0.88, q
        assert plain <= 0.8, q


def test_intervals_hold_where_latencies_drift_about(autoregressive) -> None:
    for q, (ours, plain) in coverage(autoregressive(0.95), n=5000, trials=100).items():
        assert ours >= 0.88, q
        assert plain <= 0.75, q


def test_intervals_of_independent_requests_are_not_much_wider() -> None:
    generator = np.random.default_rng(3)
    wider = []
    for seed in range(30):
        latency = (generator.lognormal(1.0, 0.5, 2000) * 1e6).astype(np.int64)
        due = np.cumsum(generator.exponential(1e6, 2000)).astype(np.int64)
        for q, ours in zip(
            SHARES, block_percentiles(Slotted.of(latency, due), SHARES, seed=seed), strict=True
        ):
            plain = percentile(latency, q)
            assert ours is not None
            assert plain is not None
            wider.append((ours.high - ours.low) / (plain.high - plain.low))
    assert np.median(wider) <= 1.3


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=500), st.integers(0, 99))
def test_never_narrower_than_of_independent_requests(values, seed) -> None:
    latency = np.array(values, dtype=np.int64)
    slotted = Slotted.of(latency, np.arange(len(values)))
    found = block_percentiles(slotted, SHARES, seed=seed, resamples=50)
    for q, ours in zip(SHARES, found, strict=True):
        plain = percentile(latency, q)
        assert (ours is None) == (plain is None)
        if ours is None or plain is None:
            continue
        assert ours.value == plain.value
        assert ours.low <= plain.low
        assert ours.high >= plain.high
        assert 1 <= ours.effective_n <= ours.n == len(values)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99, 0.999, 0.9999])
def test_a_percentile_of_too_few_samples_is_nothing(q: float) -> None:
    fewest = minimum_samples(q)
    for n in (0, 50, fewest - 1, fewest):
        slotted = Slotted.of(np.arange(1, n + 1), np.arange(n))
        (found,) = block_percentiles(slotted, [q], seed=0, resamples=20)
        assert (found is not None) == (n >= fewest)


def test_one_stall_is_one_event_and_not_hundreds() -> None:
    """A thousand requests of 1 ms, 30 in a row of 500 ms: nobody knows how often that happens."""
    latency = np.full(1000, 1_000_000)
    latency[400:430] = 500_000_000
    slotted = Slotted.of(latency, np.arange(1000) * 10_000_000)
    (ours,) = block_percentiles(slotted, [0.99], seed=1)
    plain = percentile(latency, 0.99)
    assert ours is not None
    assert plain is not None
    assert ours.value == plain.value == 500_000_000
    assert plain.low == 500_000_000
    assert ours.low == 1_000_000
    assert ours.effective_n < 200


def test_same_seed_same_interval(queue) -> None:
    latency, due = queue(0.5)[0](np.random.default_rng(1), 1000)
    first, again, other = (
        block_percentiles(Slotted.of(latency, due), [0.9], seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("share", [0.9, 0.975, 0.995])
@pytest.mark.parametrize("degrees", [5, 8, 20, 100, 10_000])
def test_quantiles_of_t_are_scipys(share: float, degrees: int) -> None:
    exact = stats.t.ppf(share, degrees) / stats.norm.ppf(share)
    assert t_over_normal(share, degrees) == pytest.approx(exact, rel=0.01)
