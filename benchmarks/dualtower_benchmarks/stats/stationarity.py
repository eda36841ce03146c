"""Whether latencies kept their level over a measurement, or moved while it lasted.

Pettitt's test (1979, Applied Statistics 28, 126–135): over all instants, the largest difference in
rank between what came before and after. It finds a trend and a step alike, wherever the step is,
where a comparison of halves finds only one in the middle, and Mann-Kendall a step only when it is
near it. Its chance is counted by permuting blocks of time, which under no change could have come
in any order; single requests in a queue could not. Each block stands by the median of its requests.
Blocks are twice as long as `block_length` asks for. It is asked for each quarter without its own
trend, and their median counts, so that a step in one of them does not pass for dependence.

A million requests show a movement of half a percent. It has to be significant *and* larger than
5 % to be called one. A load that is short for its queue passes for one too often: of 600 requests
of an M/M/1 queue at 80 % one in six, of 4,000 one in thirteen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.stats.block_length import block_length
from dualtower_benchmarks.stats.warmup import batch_medians

__all__ = ["LARGEST_DRIFT", "SIGNIFICANCE", "Trend", "trend_of"]

SIGNIFICANCE = 0.01
LARGEST_DRIFT = 1.05
_MOST_BLOCKS = 40
_FEWEST_BLOCKS = 12  # of ten, two halves that are quite apart have a chance of 0.008
_BATCHES = 200
_PERMUTATIONS = 4999


@dataclass(frozen=True)
class Trend:
    """What became of the level.

    Args:
        stationary: no movement that is significant and larger than 5 %.
        p: chance of so large a difference of ranks, were the blocks in any order.
        ratio: median latency after the instant of the largest difference, over that before it.
    """

    stationary: bool
    p: float
    ratio: float


def trend_of(latency_ns: npt.NDArray[np.int64], *, seed: int) -> Trend | None:
    """Judges requests in the order of their due instants; None: too few blocks to judge by."""
    fine = batch_medians(latency_ns, most=_BATCHES)
    quarters = [block_length(_detrended(part)) for part in np.array_split(fine, 4)]
    length = math.ceil(np.median(quarters))
    blocks = min(_MOST_BLOCKS, len(fine) // (2 * length if length > 1 else 1))
    if blocks < _FEWEST_BLOCKS:
        return None
    level = batch_medians(latency_ns, most=blocks)
    rank = _ranks(level)
    largest, at = _largest_difference(rank[None, :])
    order = np.random.default_rng(seed).permuted(
        np.broadcast_to(rank, (_PERMUTATIONS, blocks)), axis=1
    )
    reached = int((_largest_difference(order)[0] >= largest[0] - 1e-9).sum())
    p = (1 + reached) / (1 + _PERMUTATIONS)
    change = int(at[0]) + 1
    ratio = math.exp(float(np.median(level[change:]) - np.median(level[:change])))
    moved = p < SIGNIFICANCE and max(ratio, 1.0 / ratio) > LARGEST_DRIFT
    return Trend(not moved, p, ratio)


def _largest_difference(
    ranks: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Pettitt's K of each row of [rows, blocks], and the block after which it lies."""
    blocks = ranks.shape[1]
    before = np.arange(1, blocks)
    statistic = np.abs(2.0 * np.cumsum(ranks, axis=1)[:, :-1] - before * (blocks + 1))
    at = np.argmax(statistic, axis=1)
    return statistic[np.arange(len(at)), at], at


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64: from 1, equal values share the middle of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def _detrended(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without its line by the median of the slopes of all pairs (Theil 1950, Sen 1968)."""
    if len(series) < 2:
        return series
    early, late = np.triu_indices(len(series), k=1)
    slope = float(np.median((series[late] - series[early]) / (late - early)))
    return series - slope * np.arange(len(series))
