"""How much of the head of a load is not yet the steady state, and is left out.

MSER-5 (White 1997, Simulation 69, 323–334; White, Cobb and Spratt 2000): requests in the order in
which they were due are put into batches of at least five, and the cut is where the variance of what
remains, over the number of batches that remain, is smallest. Two things differ from the paper:

- A batch is the logarithm of its median latency and not its mean. Latencies have heavy tails, and
  one slow request is no transient.
- Only a head that differs from its begin on can be cut: counted from the first batch, those outside
  the middle 80 % of the second half's batches must stay more than twice as many as those inside,
  and the head ends where they are ahead the most. MSER alone would leave out everything up to a
  stall in the first half, and the stall with it. What is slow later on is part of what users meet.

Where the head would be more than a third, it is no warm-up but another level, and nothing is cut;
the paper gives up at a half. `stationarity` judges the rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_BATCHES", "SMALLEST_BATCH", "batch_medians", "transient"]

SMALLEST_BATCH = 5
MOST_BATCHES = 200
_FEWEST_BATCHES = 20
_OUTSIDE = 0.1  # on each side of the second half's batches


def batch_medians(
    latency_ns: npt.NDArray[np.int64], *, most: int = MOST_BATCHES
) -> npt.NDArray[np.float64]:
    """float64 [batches]: logarithms of the median latency of consecutive requests.

    Args:
        latency_ns: [n] in the order of the due instants; a rest at the end joins no batch.
    """
    batches = min(most, len(latency_ns) // SMALLEST_BATCH)
    if not batches:
        return np.zeros(0)
    size = len(latency_ns) // batches
    grid = latency_ns[: batches * size].reshape(batches, size)
    return np.log(np.maximum(np.median(grid, axis=1), 1.0))


def transient(latency_ns: npt.NDArray[np.int64]) -> int:
    """Requests at the head to leave out; 0 where there is no transient or too few to tell.

    Args:
        latency_ns: int64 [n] in the order of the due instants.
    """
    level = batch_medians(latency_ns)
    batches = len(level)
    if batches < _FEWEST_BATCHES:
        return 0
    half, most = batches // 2, batches // 3
    low, high = np.quantile(level[half:], [_OUTSIDE, 1.0 - _OUTSIDE])
    inside = (low <= level[:half]) & (level[:half] <= high)
    ahead = np.cumsum(np.concatenate([[0], np.where(inside, -2, 1)]))
    unbroken = np.cumsum(ahead < 0) == 0
    head = int(np.argmax(np.where(unbroken, ahead, -1)))
    cut = int(np.argmin(_mser(level)[: head + 1]))
    return cut * (len(latency_ns) // batches) if cut <= most else 0


def _mser(level: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 [batches]: squared deviations of what each cut leaves, over its number squared."""
    left = np.arange(len(level), 0, -1, dtype=np.float64)
    centred = level - np.median(level)  # against cancellation
    tail_sum = np.cumsum(centred[::-1])[::-1]
    tail_squares = np.cumsum(centred[::-1] ** 2)[::-1]
    return np.asarray((tail_squares - tail_sum**2 / left) / left**2)
