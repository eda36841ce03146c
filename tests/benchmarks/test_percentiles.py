"""Percentiles, their intervals and the smallest samples, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dualtower_benchmarks.stats.percentiles import (
    minimum_samples,
    nearest_rank,
    percentile,
    ratio_of_percentiles,
)

SHARES = (0.5, 0.9, 0.99, 0.999)


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=400),
    st.sampled_from([0.05, 0.25, *SHARES]),
)
def test_nearest_rank_is_numpys_inverted_cdf(values: list[int], q: float) -> None:
    samples = np.array(values, dtype=np.int64)
    assert nearest_rank(samples, q) == np.percentile(samples, 100 * q, method="inverted_cdf")


def test_rank_is_exact_where_floats_are_not() -> None:
    assert 0.07 * 100 > 7  # the trap
    assert nearest_rank(np.arange(1, 101), 0.07) == 7


@pytest.mark.parametrize(("q", "fewest"), [(0.5, 6), (0.9, 36), (0.99, 368), (0.999, 3688)])
def test_too_few_samples_give_nothing(q: float, fewest: int) -> None:
    assert minimum_samples(q) == fewest
    assert percentile(np.arange(fewest - 1), q) is None
    assert percentile(np.arange(fewest), q) is not None


def test_fifty_samples_have_no_p99() -> None:
    assert percentile(np.arange(50), 0.99) is None
    assert percentile(np.arange(0), 0.5) is None


@pytest.mark.parametrize("n", [6, 36, 100, 368, 1000, 5000])
@pytest.mark.parametrize("q", SHARES)
def test_interval_ranks_are_the_tightest_binomial_ones(n: int, q: float) -> None:
    estimate = percentile(np.arange(1, n + 1), q)  # sample i is i: values are ranks
    if estimate is None:
        assert n < minimum_samples(q)
        return
    low, high = int(estimate.low), int(estimate.high)
    distribution = stats.binom(n, q)
    assert distribution.cdf(low - 1) <= 0.025 < distribution.cdf(low)
    assert distribution.sf(high - 1) <= 0.025 < distribution.sf(high - 2)
    assert low <= estimate.value <= high
    assert estimate.n == n


def test_interval_covers_the_true_percentile() -> None:
    generator = np.random.default_rng(1)
    truth = -np.log(1 - 0.9)  # of the exponential distribution
    hits = 0
    for _ in range(1000):
        estimate = percentile((generator.exponential(size=200) * 1e9).astype(np.int64), 0.9)
        assert estimate is not None
        hits += estimate.low <= truth * 1e9 <= estimate.high
    # coverage is at least 95 %: with 1,000 trials below 931 has a chance of 1 in 200
    assert hits >= 931


def test_ratio_agrees_with_a_plain_bootstrap() -> None:
    generator = np.random.default_rng(2)
    a = (generator.lognormal(3.0, 0.4, size=400) * 1e6).astype(np.int64)
    b = (generator.lognormal(2.0, 0.3, size=300) * 1e6).astype(np.int64)
    ours = ratio_of_percentiles(a, b, 0.5, seed=3)
    plain = stats.bootstrap(
        (a, b),
        lambda x, y, axis: (
            np.percentile(x, 50, axis=axis, method="inverted_cdf")
            / np.percentile(y, 50, axis=axis, method="inverted_cdf")
        ),
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert ours is not None
    assert ours.value == nearest_rank(a, 0.5) / nearest_rank(b, 0.5)
    assert ours.low == pytest.approx(plain.low, rel=0.01)
    assert ours.high == pytest.approx(plain.high, rel=0.01)
    assert ours == ratio_of_percentiles(a, b, 0.5, seed=3)
    assert ratio_of_percentiles(a[:5], b, 0.5, seed=3) is None


@pytest.mark.parametrize(
    ("q", "confidence"), [(0.0, 0.95), (1.0, 0.95), (99.0, 0.95), (0.9, 0.0), (0.9, 1.0)]
)
def test_shares_out_of_range_are_refused(q: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        minimum_samples(q, confidence=confidence)
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile(np.arange(1000), q, confidence=confidence)
