"""Items that score high for an anchor and still do not belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["HardNegatives", "hard_negatives"]

_BLOCK_ROWS = 256


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Mined negatives of each anchor.

    Attributes:
        items: int32 [anchors, count], rows of the catalogue, -1 where fewer were found.
        scores: float32 [anchors, count], their cosines, 0 where fewer were found.
    """

    items: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """bool [anchors, count], true where a negative is."""
        return self.items >= 0


def hard_negatives(
    anchors: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    excluded: Sequence[npt.NDArray[np.integer]],
    *,
    count: int,
    ranks: tuple[int, int] = (10, 100),
    max_score: float = 1.0,
    positive_scores: npt.NDArray[np.float32] | None = None,
    margin: float = 0.05,
    groups: npt.NDArray[np.int32] | None = None,
    seed: tuple[int, ...] = (0,),
) -> HardNegatives:
    """A random `count` of the items that rank from ranks[0] to ranks[1] for each anchor.

    The nearest items are often positives that nobody has clicked yet, so four things are kept out:
    what the anchor is known to belong to (before ranks are counted), the first ranks, scores above
    an absolute bound, and scores above a share of the positive's own: with margin 0.05 and a
    positive of 0.8, everything above 0.76 (Moreira et al. 2024, TopK-PercPos,
    https://arxiv.org/abs/2407.15831). A negative positive score is lowered by its size likewise.

    Args:
        anchors: float32 [anchors, dim], of length 1; of users or of items.
        items: float32 [items, dim], of length 1.
        excluded: for each anchor the item rows that are no negatives: all that the user took, or
            the item itself and its positives.
        count: at most so many an anchor.
        ranks: first and one past the last rank, from 0, among the items that are not excluded.
        max_score: the absolute bound.
        positive_scores: float32 [anchors], cosine of each anchor with its positive; None for no
            relative bound.
        margin: the relative bound's distance, from 0 to 1.
        groups: int32 [items] of `near_duplicate_groups`; near-duplicates of excluded items are
            excluded too.
        seed: of the random choice; an anchor's choice does not depend on the other anchors' scores.
    """
    if not 0 <= ranks[0] < ranks[1]:
        raise ValueError(f"ranks must be 0 <= first < last, got {ranks}")
    if not 0 <= margin <= 1:
        raise ValueError(f"margin must be from 0 to 1, got {margin}")
    if len(excluded) != len(anchors):
        raise ValueError(f"{len(anchors)} anchors need as many excluded lists: {len(excluded)}")
    limit = np.full(len(anchors), max_score, np.float32)
    if positive_scores is not None:
        limit = np.minimum(limit, positive_scores - margin * np.abs(positive_scores))
    members = _members(groups)
    luck = np.random.default_rng(seed).random((len(anchors), ranks[1] - ranks[0]))
    chosen = np.full((len(anchors), count), -1, np.int32)
    scores = np.zeros((len(anchors), count), np.float32)
    for start in range(0, len(anchors), _BLOCK_ROWS):
        block = anchors[start : start + _BLOCK_ROWS] @ items.T
        for row, taken in enumerate(excluded[start : start + _BLOCK_ROWS]):
            block[row, _with_duplicates(taken, groups, members)] = -np.inf
        order = _ranked(block, *ranks)
        found = np.take_along_axis(block, order, 1)
        bound = limit[start : start + _BLOCK_ROWS, None]
        fits = (found <= bound) & np.isfinite(found)
        draw = np.where(fits, luck[start : start + len(block), : order.shape[1]], np.inf)
        first = np.argsort(draw, axis=1, kind="stable")[:, :count]
        kept = np.take_along_axis(fits, first, 1)
        rows = slice(start, start + len(block))
        width = first.shape[1]
        chosen[rows, :width] = np.where(kept, np.take_along_axis(order, first, 1), -1)
        scores[rows, :width] = np.where(kept, np.take_along_axis(found, first, 1), 0)
    return HardNegatives(chosen, scores)


def _ranked(scores: npt.NDArray[np.float32], first: int, last: int) -> npt.NDArray[np.int64]:
    """Columns at ranks first … last - 1 of each row, best first; ties go to the lower column."""
    last = min(last, scores.shape[1])
    if last < scores.shape[1]:
        cut = -np.partition(-scores, last - 1, axis=1)[:, last - 1 : last]
        near = [np.flatnonzero(row >= bound) for row, bound in zip(scores, cut, strict=True)]
        order = np.stack(
            [
                columns[np.argsort(-row[columns], kind="stable")[:last]]
                for row, columns in zip(scores, near, strict=True)
            ]
        )
    else:
        order = np.argsort(-scores, axis=1, kind="stable")
    return order[:, first:last]


def _members(groups: npt.NDArray[np.int32] | None) -> list[npt.NDArray[np.int64]]:
    """Items of each group."""
    if groups is None:
        return []
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.searchsorted(groups[order], np.arange(1, groups.max() + 1)))


def _with_duplicates(
    taken: npt.NDArray[np.integer],
    groups: npt.NDArray[np.int32] | None,
    members: list[npt.NDArray[np.int64]],
) -> npt.NDArray[np.integer]:
    if groups is None or not len(taken):
        return taken
    return np.concatenate([members[group] for group in np.unique(groups[taken])])
