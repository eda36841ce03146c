"""Batches of positive pairs in which no two pairs share an item or a near-duplicate text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_trainer.pairs.mined import Pairs

__all__ = ["DiverseBatches", "PairBatch"]


@dataclass(frozen=True, eq=False)
class PairBatch:
    """One step's pairs.

    Attributes:
        anchor: int32 [batch], rows of the catalogue.
        positive: int32 [batch], rows of the catalogue.
        weight: float32 [batch], of the pairs.
        accidental: bool [batch, batch], true where positive j is no negative for anchor i, because
            the two are a mined pair themselves; false on the diagonal.
    """

    anchor: npt.NDArray[np.int32]
    positive: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    accidental: npt.NDArray[np.bool_]


class DiverseBatches:
    """Draws batches of pairs, the likelier the heavier, as a function of (seed, step) alone.

    Pairs are visited in a random order weighted by `pairs.weight` (Efraimidis & Spirakis 2006,
    https://doi.org/10.1016/j.ipl.2005.11.003), and one is taken unless its anchor's or positive's
    group is in the batch already. A data set too small to fill a batch gives shorter ones, with at
    least one pair.

    Example:
        batches = DiverseBatches(pairs, near_duplicate_groups(texts), batch_size=256)
        batch = batches.batch(seed=0, step=17)
    """

    def __init__(self, pairs: Pairs, groups: npt.NDArray[np.int32], batch_size: int) -> None:
        """`groups`: int32 [items] of `near_duplicate_groups`, or `np.arange(n_items)`.

        Raises:
            ValueError: no pairs, a weight that is not above 0, a batch size below 1, or an item
                that has no group.
        """
        if not len(pairs) or not (pairs.weight > 0).all():
            raise ValueError("DiverseBatches needs at least one pair, and weights above 0")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        n_items = 1 + int(max(pairs.anchor.max(), pairs.positive.max()))
        if len(groups) < n_items:
            raise ValueError(f"pairs name item {n_items - 1}, groups has {len(groups)} items")
        self._pairs = pairs
        self._groups = np.asarray(groups)
        self._size = batch_size
        self._left, self._right = self._groups[pairs.anchor], self._groups[pairs.positive]
        both = _keys(pairs.anchor, pairs.positive), _keys(pairs.positive, pairs.anchor)
        self._known = np.unique(np.concatenate(both))

    @property
    def batch_size(self) -> int:
        return self._size

    def batch(self, *, seed: int, step: int) -> PairBatch:
        """The batch of one step, a function of its arguments alone."""
        random = np.random.default_rng((seed, step))
        clock = random.standard_exponential(len(self._pairs)) / self._pairs.weight
        chosen = self._first_that_fit(clock)
        anchor, positive = self._pairs.anchor[chosen], self._pairs.positive[chosen]
        accidental = self.accidental(anchor, positive)
        np.fill_diagonal(accidental, False)
        return PairBatch(anchor, positive, self._pairs.weight[chosen], accidental)

    def accidental(
        self, anchors: npt.ArrayLike, candidates: npt.ArrayLike
    ) -> npt.NDArray[np.bool_]:
        """Where a candidate is no negative: bool [anchors, candidates].

        It is the anchor, a near-duplicate of it, a mined pair with it in either order, or an empty
        place of a queue (-1).
        """
        rows, columns = np.asarray(anchors)[:, None], np.asarray(candidates)
        empty = columns < 0
        columns = np.where(empty, 0, columns)
        keys = _keys(rows, columns)
        places = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
        same = self._groups[rows] == self._groups[columns]
        return (self._known[places] == keys) | same | empty

    def _first_that_fit(self, clock: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Places of pairs by rising clock, without those that meet a group again."""
        chosen: list[int] = []
        used: set[int] = set()
        start, window = 0, 4 * self._size
        while len(chosen) < self._size and start < len(clock):
            stop = min(start + window, len(clock))
            order = np.argpartition(clock, stop - 1)[:stop]
            order = order[np.argsort(clock[order], kind="stable")][start:]
            groups = zip(self._left[order].tolist(), self._right[order].tolist(), strict=True)
            for place, pair in zip(order.tolist(), groups, strict=True):
                if not used.isdisjoint(pair):
                    continue
                used.update(pair)
                chosen.append(place)
                if len(chosen) == self._size:
                    break
            start, window = stop, 4 * window
        return np.asarray(chosen, np.int64)


def _keys(one: npt.NDArray[np.integer], other: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return (one.astype(np.int64) << 32) | other  # both are int32, not negative
