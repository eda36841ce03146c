"""Repeats of one user and item as one row, and rows as one list per user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualtower_trainer.data.dataset import Interactions

__all__ = ["lists_by_user", "merge_repeats", "pair_codes"]


def merge_repeats(log: Interactions, *, last: bool = True) -> Interactions:
    """One row per user and item: weights summed, at the last (or first) of the times.

    Sorted by user, then by time (most recent first, or earliest first), then by item.
    """
    if not len(log):
        return log
    order = np.lexsort((log.timestamps, log.items, log.users))
    users, items, times = log.users[order], log.items[order], log.timestamps[order]
    new = np.ones(len(order), bool)
    new[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    starts = np.flatnonzero(new)
    weights = np.add.reduceat(log.weights[order].astype(np.float64), starts).astype(np.float32)
    ends = np.append(starts[1:], len(order)) - 1
    users, items, times = users[starts], items[starts], times[ends if last else starts]
    order = np.lexsort((items, -times if last else times, users))
    return Interactions(users[order], items[order], times[order], weights[order], log.user_ids)


def pair_codes(log: Interactions, n_items: int) -> npt.NDArray[np.int64]:
    """User and item of each interaction as one number, [interactions]."""
    return log.users.astype(np.int64) * n_items + log.items


def lists_by_user(log: Interactions, users: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    """The items of each of `users`; `log` is sorted by user."""
    begins = np.searchsorted(log.users, users, side="left")
    ends = np.searchsorted(log.users, users, side="right")
    return [log.items[begin:end] for begin, end in zip(begins, ends, strict=True)]
