"""Percentiles of requests that share a queue, with intervals by blocks of time.

The interval is the hull of two that the same blocks give:

- The percentiles of the resamples. They follow any shape, but cannot lie beyond the largest sample,
  and for few blocks they come out narrow.
- Order statistics as in `percentiles`, for as many independent requests as ours are worth
  (Woodruff 1952): their number over the design effect, which is the variance of the count below
  the percentile over that of a binomial count, and less where the blocks are few (Korn and Graubard
  1998). Where so many would not have the percentile at all, it ends at the largest sample.

Never narrower than for independent requests: a design effect below 1 counts as 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualtower_benchmarks.stats.blocks import Floats, Slotted
from dualtower_benchmarks.stats.percentiles import (
    Estimate,
    interval_ranks,
    minimum_samples,
    rank_of,
)
from dualtower_benchmarks.stats.student import t_over_normal

__all__ = ["RESAMPLES", "BlockEstimate", "Resampled", "block_percentiles", "resample"]

RESAMPLES = 1000


@dataclass(frozen=True)
class BlockEstimate(Estimate):
    """An estimate in nanoseconds, and what its interval rests on.

    Args:
        block_s: length of a block of time.
        effective_n: how many independent requests ours are worth, at most `n`.
    """

    block_s: float
    effective_n: int


@dataclass(frozen=True)
class Resampled:
    """A percentile in resamples by blocks.

    Args:
        values: float64 [resamples], nanoseconds.
        design_effect: variance of the count below the percentile, over that of a binomial one.
        blocks: of time in the data.
    """

    values: Floats
    design_effect: float
    blocks: int


def block_percentiles(
    slotted: Slotted,
    shares: Sequence[float],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> list[BlockEstimate | None]:
    """The percentiles at `shares`; None where the samples are too few by `minimum_samples`."""
    n = len(slotted)
    enough = [n >= minimum_samples(q, confidence=confidence) for q in shares]
    if not any(enough):
        return [None] * len(shares)
    weights = _weights(slotted, seed, resamples)
    return [
        _estimate(slotted, q, weights, confidence) if there else None
        for q, there in zip(shares, enough, strict=True)
    ]


def resample(slotted: Slotted, q: float, *, seed: int, resamples: int = RESAMPLES) -> Resampled:
    """The percentile `q` of every resample."""
    return _resampled(slotted, q, _weights(slotted, seed, resamples))


def _weights(slotted: Slotted, seed: int, resamples: int) -> Floats:
    return slotted.weights(slotted.length, resamples, np.random.default_rng(seed))


def _resampled(slotted: Slotted, q: float, weights: Floats) -> Resampled:
    n = len(slotted)
    off = weights @ (slotted.counts(rank_of(n, q)) - q * slotted.counts())
    return Resampled(
        values=slotted.resampled(q, weights),
        design_effect=float(np.var(off) / (n * q * (1.0 - q))),
        blocks=math.ceil(slotted.slots / slotted.length),
    )


def _estimate(slotted: Slotted, q: float, weights: Floats, confidence: float) -> BlockEstimate:
    n, ordered = len(slotted), slotted.ordered
    drawn = _resampled(slotted, q, weights)
    tail = (1.0 - confidence) / 2.0
    few = t_over_normal(1.0 - tail, drawn.blocks - 1)
    worth = max(1, int(n / max(1.0, drawn.design_effect) / few**2))
    low_rank, high_rank = interval_ranks(worth, q, confidence=confidence)
    iid_low, iid_high = interval_ranks(n, q, confidence=confidence)
    low = ordered[min(iid_low, max(1, math.floor(low_rank * n / worth))) - 1]
    high = ordered[max(iid_high, min(n, math.ceil(high_rank * n / worth))) - 1]
    return BlockEstimate(
        value=float(ordered[rank_of(n, q) - 1]),
        low=float(min(low, np.nanquantile(drawn.values, tail, method="lower"))),
        high=float(max(high, np.nanquantile(drawn.values, 1.0 - tail, method="higher"))),
        n=n,
        block_s=slotted.length * slotted.width_s,
        effective_n=worth,
    )
