"""Which candidates are no negatives for whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["accidental_hits"]


def accidental_hits(
    candidates: npt.ArrayLike,
    consumed: Sequence[npt.NDArray[np.integer]],
    n_items: int,
    *,
    groups: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.bool_]:
    """bool [rows, candidates]: true where a candidate is an item that the row's person took.

    Masking only the positive of a row would call everything else that the person took a negative.

    Args:
        candidates: int item rows [candidates]: of the batch, drawn, mined or from a queue; -1 is an
            empty place and masked for everybody.
        consumed: for each row of the batch, the item rows that the person took, the positives too.
        n_items: rows of the catalogue.
        groups: int32 [n_items] of `near_duplicate_groups`; masks near-duplicates of what was taken.
    """
    ids = np.asarray(candidates, np.int64)
    names = np.arange(n_items) if groups is None else groups
    if len(names) != n_items:
        raise ValueError(f"groups must be one an item ({n_items}), got {len(names)}")
    taken = np.zeros((len(consumed), int(names.max(initial=-1)) + 1), bool)
    for row, items in enumerate(consumed):
        taken[row, names[items]] = True
    return taken[:, names[ids]] | (ids < 0)
