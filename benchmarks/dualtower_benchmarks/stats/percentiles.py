"""Exact percentiles of raw latencies, with intervals, or nothing where the samples are too few.

A percentile is the nearest rank: the smallest sample that at least a share `q` of all samples does
not exceed. It is always a latency that was seen, never an interpolation between two.

The interval is distribution-free: of `n` independent samples the number below the true percentile
is Binomial(n, q), so two order statistics enclose it with at least the given confidence (David and
Nagaraja, Order Statistics, section 7.1). A percentile for which even the fastest or the slowest
sample is no such bound has too few samples, and is None: at 95 % that takes 6 samples for p50,
36 for p90, 368 for p99, 3,688 for p99.9.

Requests that share a queue are not independent, and the true intervals of a loaded server are
wider: for them there is `block_percentiles`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = [
    "Estimate",
    "interval_ranks",
    "minimum_samples",
    "nearest_rank",
    "ordered_percentile",
    "percentile",
    "rank_of",
    "ratio_of_percentiles",
]


@dataclass(frozen=True)
class Estimate:
    """A value with the interval that holds it at the asked confidence."""

    value: float
    low: float
    high: float
    n: int


def percentile(
    samples: npt.NDArray[np.int64], q: float, *, confidence: float = 0.95
) -> Estimate | None:
    """The percentile `q` of `samples` (int64 nanoseconds, any order), None where they are too few.

    Args:
        q: a share strictly between 0 and 1, such as 0.99.
        confidence: of the two-sided interval.
    """
    return ordered_percentile(np.sort(samples), q, confidence=confidence)


def ordered_percentile(
    ordered: npt.NDArray[np.int64], q: float, *, confidence: float = 0.95
) -> Estimate | None:
    """`percentile` of samples that are sorted already."""
    n = len(ordered)
    if n < minimum_samples(q, confidence=confidence):
        return None
    low, high = interval_ranks(n, q, confidence=confidence)
    return Estimate(
        value=float(ordered[rank_of(n, q) - 1]),
        low=float(ordered[low - 1]),
        high=float(ordered[high - 1]),
        n=n,
    )


def interval_ranks(n: int, q: float, *, confidence: float = 0.95) -> tuple[int, int]:
    """Ranks from 1 to `n` of the order statistics that enclose the true percentile.

    With fewer than `minimum_samples` one end is the first or the last and encloses nothing.
    """
    below = _binomial_cdf(n, q)  # below[k] = P(at most k samples are below the true percentile)
    tail = (1.0 - confidence) / 2.0
    low = int(np.searchsorted(below, tail, side="right"))  # largest l with P(B < l) <= tail
    high = int(np.searchsorted(below, 1.0 - tail, side="left")) + 1  # smallest u: P(B >= u) <= tail
    return max(low, 1), min(high, n)


def minimum_samples(q: float, *, confidence: float = 0.95) -> int:
    """How many samples it takes until both ends of the interval of `q` exist."""
    _check(q, confidence)
    tail = math.log((1.0 - confidence) / 2.0)
    return math.ceil(max(tail / math.log(q), tail / math.log1p(-q)))


def nearest_rank(samples: npt.NDArray[np.int64], q: float) -> int:
    """The sample at the nearest rank, whatever their number; for limits, not for reports."""
    _check(q, 0.5)
    if not len(samples):
        raise ValueError("a percentile of no samples does not exist")
    rank = rank_of(len(samples), q) - 1
    return int(np.partition(samples, rank)[rank])


def ratio_of_percentiles(
    numerator: npt.NDArray[np.int64],
    denominator: npt.NDArray[np.int64],
    q: float,
    *,
    seed: int,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Estimate | None:
    """Percentile `q` of one sample over that of another, with a bootstrap interval.

    The k-th order statistic of a resample of n is the sample at ceil(n · Beta(k, n − k + 1)), so a
    resample costs one draw instead of n. None where either side has too few samples.
    """
    smallest = min(len(numerator), len(denominator))
    if smallest < minimum_samples(q, confidence=confidence):
        return None
    generator = np.random.default_rng(seed)
    above = _resampled(numerator, q, resamples, generator)
    below = _resampled(denominator, q, resamples, generator)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(above / below, [tail, 1.0 - tail])
    value = nearest_rank(numerator, q) / nearest_rank(denominator, q)
    return Estimate(value=value, low=float(low), high=float(high), n=smallest)


def _resampled(
    samples: npt.NDArray[np.int64], q: float, resamples: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    n, rank = len(samples), rank_of(len(samples), q)
    position = generator.beta(rank, n - rank + 1, size=resamples)
    index = np.minimum((position * n).astype(np.int64), n - 1)
    return np.sort(samples)[index].astype(np.float64)


def rank_of(n: int, q: float) -> int:
    """From 1: the nearest rank of the percentile `q` among `n` samples."""
    # in exact arithmetic: 0.07 * 100 is 7.000000000000001, whose ceiling would be rank 8
    return max(1, math.ceil(Fraction(str(q)) * n))


def _binomial_cdf(n: int, q: float) -> npt.NDArray[np.float64]:
    """float64 [n + 1]: P(B <= k) for k = 0 … n of B ~ Binomial(n, q)."""
    k = np.arange(1, n + 1, dtype=np.float64)
    log_ratio = np.log((n - k + 1) / k) + math.log(q) - math.log1p(-q)
    log_mass = n * math.log1p(-q) + np.concatenate([[0.0], np.cumsum(log_ratio)])
    return np.asarray(np.minimum(np.cumsum(np.exp(log_mass)), 1.0), dtype=np.float64)


def _check(q: float, confidence: float) -> None:
    if not 0.0 < q < 1.0:
        raise ValueError(f"a percentile is a share between 0 and 1, got {q}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence is a share between 0 and 1, got {confidence}")
