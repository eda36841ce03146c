"""Latencies laid out in time, and resampled in blocks of it, so that intervals hold in a queue.

Requests that wait behind each other are not independent: one stall makes hundreds slow at once.
A bootstrap of single requests (Efron 1979) takes them for hundreds of reasons and its intervals
come out several times too narrow. Blocks of time keep what belongs together (Künsch 1989, Annals of
Statistics 17, 1217–1241); here time is a circle, so that its ends are drawn as often as its middle
(Politis and Romano 1992). The length of a block comes from the data (`block_length`), out of the
numbers of requests above a percentile by slots of time: what a percentile hangs on (Bahadur 1966).

A resample does not copy requests. It is a weight per slot; with requests sorted by latency and
counted by slot below a few hundred candidates, one product of matrices has the ranks of the
candidates in all resamples. A million requests and a thousand resamples take 0.1 s of CPU time.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.stats.block_length import block_length
from dualtower_benchmarks.stats.percentiles import rank_of

__all__ = ["MOST_SLOTS", "Slotted"]

MOST_SLOTS = 500
_LENGTH_BY = (0.5, 0.9, 0.99)
_CANDIDATES = 256  # ranks at which a resampled percentile is looked for

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slotted:
    """Answered requests by slots of time of equal width.

    Args:
        ordered: int64 [n] latencies, ascending.
        slot: int64 [n] of each, by the instant it was due.
        slots: how many there are; some may hold no request.
        width_s: of a slot.
    """

    ordered: npt.NDArray[np.int64]
    slot: npt.NDArray[np.int64]
    slots: int
    width_s: float

    @classmethod
    def of(
        cls,
        latency_ns: npt.NDArray[np.int64],
        due_ns: npt.NDArray[np.int64],
        *,
        slots: int | None = None,
    ) -> Slotted:
        """Lays [n] requests out between the first and the last due instant.

        Args:
            slots: None takes one a request, `MOST_SLOTS` at most.
        """
        n = len(latency_ns)
        slots = slots or max(1, min(MOST_SLOTS, n))
        first = int(due_ns.min()) if n else 0
        span_ns = (int(due_ns.max()) - first + 1) if n else 1
        slot = np.minimum((due_ns - first) * (slots / span_ns), slots - 1).astype(np.int64)
        order = np.argsort(latency_ns, kind="stable")
        return cls(latency_ns[order], slot[order], slots, span_ns / slots / 1e9)

    @classmethod
    def independent(cls, latency_ns: npt.NDArray[np.int64]) -> Slotted:
        """Each request a slot of its own: the plain bootstrap, for small samples and tests."""
        return cls(np.sort(latency_ns), np.arange(len(latency_ns)), len(latency_ns), 0.0)

    def __len__(self) -> int:
        return len(self.ordered)

    def counts(self, ranks: int | None = None) -> Floats:
        """float64 [slots]: requests by slot, only the `ranks` fastest where that is given."""
        return np.bincount(self.slot[:ranks], minlength=self.slots).astype(np.float64)

    @functools.cached_property
    def length(self) -> int:
        """Slots of a block: the longest that the requests above any of p50, p90 and p99 ask for.

        One length for all percentiles: what lasts long is the queue, and the few requests above a
        high percentile are too few to show how long.
        """
        n, count = len(self), self.counts()
        return max(
            (block_length(self.counts(rank_of(n, q)) - q * count) for q in _LENGTH_BY), default=1
        )

    def weights(self, length: int, resamples: int, generator: np.random.Generator) -> Floats:
        """float64 [resamples, slots]: how often each resample holds each slot.

        Blocks of `length` slots are drawn until there are as many slots as in the data; the last
        one is cut to that.
        """
        blocks = math.ceil(self.slots / length)
        sizes = np.full(blocks, length)
        sizes[-1] = self.slots - length * (blocks - 1)
        starts = generator.integers(0, self.slots, size=(resamples, blocks))
        rows = np.arange(resamples)[:, None] * (2 * self.slots)
        size = resamples * 2 * self.slots
        steps = (
            np.bincount((rows + starts).ravel(), minlength=size)
            - np.bincount((rows + starts + sizes).ravel(), minlength=size + 1)[:size]
        )
        held = np.cumsum(steps.reshape(resamples, 2 * self.slots), axis=1)
        return (held[:, : self.slots] + held[:, self.slots :]).astype(np.float64)

    def resampled(self, q: float, weights: Floats) -> Floats:
        """float64 [resamples]: the percentile `q` of each resample, a latency that was seen.

        Exact where all resamples agree within 256 ranks, else to 1/256 of where they spread. A
        resample without any request has NaN.
        """
        totals = weights @ self.counts()
        needed = np.maximum(np.ceil(q * totals - 1e-9), 1.0)
        low, high = self._bracket(q, weights, needed)
        ranks = np.unique(np.linspace(low, high, min(_CANDIDATES, high - low + 1)).astype(np.int64))
        above = np.searchsorted(ranks, np.arange(low, high) + 1)  # the candidate of each rank
        cells = self.slot[low:high] * len(ranks) + above
        between = np.bincount(cells, minlength=self.slots * len(ranks))
        table = np.cumsum(between.reshape(self.slots, len(ranks)), axis=1, dtype=np.float64)
        reached = weights @ (table + self.counts(low)[:, None])  # [resamples, candidates]
        index = np.minimum((reached < needed[:, None]).sum(axis=1), len(ranks) - 1)
        values = self.ordered[np.maximum(ranks[index], 1) - 1].astype(np.float64)
        values[totals == 0] = np.nan
        return values

    def _bracket(self, q: float, weights: Floats, needed: Floats) -> tuple[int, int]:
        """Ranks (low, high] between which every resample has its percentile."""
        n, at = len(self), rank_of(len(self), q)
        missing = needed - weights @ self.counts(at)
        low, down = at, max(8, int(1.25 * -missing.min()) + 8)
        while low and (weights @ self.counts(low) >= needed).any():
            low, down = max(0, low - down), 2 * down
        high, up = at, max(8, int(1.25 * missing.max()) + 8)
        while high < n and (weights @ self.counts(high) < needed).any():
            high, up = min(n, high + up), 2 * up
        return low, high
