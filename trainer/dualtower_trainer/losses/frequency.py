"""How often each item is drawn, estimated from the stream of batches itself.

The steps between two draws of an item have the mean 1/p when a batch holds it with probability p,
so a moving mean of that gap estimates p without a pass over the data, and follows a drifting
catalogue (Yi et al. 2019, algorithms 2 and 3, https://doi.org/10.1145/3298689.3346996):

    gap[h(y)] ← (1 - α) · gap[h(y)] + α · (step - last[h(y)]);  last[h(y)] ← step;  p = 1 / gap

A collision of hashes shortens gaps, so of several hash functions the longest gap is believed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["StreamingFrequency"]


class StreamingFrequency:
    """Estimates ln of the probability that a batch holds an item.

    The first 1/α visits of a slot are averaged plainly (rate 1/visits, then α), so the first
    estimates lean on no made-up initial gap. All state is in three arrays, see `state`.

    Example:
        frequency = StreamingFrequency.by_row(n_items)
        log_q = frequency.update(batch.positive, step=step)     # step counts from 1
    """

    def __init__(
        self, slots: int, *, hashes: int | None, rate: float = 0.05, seed: int = 0
    ) -> None:
        """Use `by_row` or `hashed`; `hashes=None` takes ids as slots."""
        if slots < 1 or not 0 < rate <= 1 or (hashes is not None and hashes < 1):
            raise ValueError(
                "slots and hashes must be at least 1 and rate in (0, 1], got "
                f"slots={slots}, hashes={hashes}, rate={rate}"
            )
        self._rate = rate
        self._multipliers: npt.NDArray[np.uint64] | None = None
        if hashes is not None:
            drawn = np.random.default_rng(seed).integers(0, 2**63, hashes, dtype=np.uint64)
            self._multipliers = drawn * np.uint64(2) + np.uint64(1)
        shape = (hashes or 1, slots)
        self._last = np.zeros(shape, np.int64)
        self._gap = np.zeros(shape, np.float64)
        self._visits = np.zeros(shape, np.int64)
        self._step = 0

    @classmethod
    def by_row(cls, n_items: int, *, rate: float = 0.05) -> StreamingFrequency:
        """One slot an item: exact, for ids 0 … n_items - 1."""
        return cls(n_items, hashes=None, rate=rate)

    @classmethod
    def hashed(
        cls, slots: int = 1 << 17, *, hashes: int = 3, rate: float = 0.05, seed: int = 0
    ) -> StreamingFrequency:
        """A fixed memory for any int64 ids, also ones that are not known yet."""
        return cls(slots, hashes=hashes, rate=rate, seed=seed)

    def update(self, batch_ids: npt.ArrayLike, step: int) -> npt.NDArray[np.float32]:
        """Takes note of one batch; returns ln p of each of its ids, float32 of their shape.

        Args:
            batch_ids: integer ids; one that occurs twice in the batch is counted once.
            step: from 1 upwards, higher than in the last call.
        """
        if step <= self._step:
            raise ValueError(f"step must be above {self._step}, the last one seen, got {step}")
        ids = np.asarray(batch_ids, np.int64)
        unique, places = np.unique(ids, return_inverse=True)
        for table, columns in enumerate(self._slots(unique)):
            slots = np.unique(columns)  # two ids of one batch may share a slot
            self._visits[table, slots] += 1
            rate = np.maximum(self._rate, 1 / self._visits[table, slots])
            gap = step - self._last[table, slots]
            self._gap[table, slots] += rate * (gap - self._gap[table, slots])
            self._last[table, slots] = step
        self._step = step
        return self.log_q(unique)[places].reshape(ids.shape)

    def log_q(self, ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """ln p of ids as last estimated; one never seen counts as seen once, one step from now."""
        columns = self._slots(np.asarray(ids, np.int64).ravel())
        gaps = np.stack([self._gap[table, slots] for table, slots in enumerate(columns)])
        seen = np.stack([self._visits[table, slots] > 0 for table, slots in enumerate(columns)])
        longest = np.where(seen, gaps, self._step + 1).max(axis=0)
        return (-np.log(longest)).astype(np.float32).reshape(np.shape(ids))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything that a resumed training needs, as arrays."""
        return {
            "last": self._last.copy(),
            "gap": self._gap.copy(),
            "visits": self._visits.copy(),
            "step": np.asarray(self._step, np.int64),
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """The inverse of `state`, into an estimator made with the same arguments."""
        for name, own in (("last", self._last), ("gap", self._gap), ("visits", self._visits)):
            if state[name].shape != own.shape:
                raise ValueError(
                    f"the saved {name} is {state[name].shape}, this estimator has {own.shape}; "
                    "make it with the arguments of the run that saved it"
                )
            own[...] = state[name]
        self._step = int(state["step"])

    def _slots(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64 [hashes, ids]."""
        slots = self._gap.shape[1]
        if self._multipliers is None:
            if len(ids) and (ids.min() < 0 or ids.max() >= slots):
                raise ValueError(
                    f"ids must be from 0 to {slots - 1}, got {ids.min()} … {ids.max()}"
                )
            return ids[None]
        # multiply-shift: the high bits of an odd multiple are mixed best (Dietzfelbinger 1997)
        mixed = (ids.astype(np.uint64) * self._multipliers[:, None]) >> np.uint64(32)
        return (mixed % np.uint64(slots)).astype(np.int64)
