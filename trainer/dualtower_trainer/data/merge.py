"""Repeats of one user and item as one row, and rows as one list per user.

The log is sorted once, by user, item and time; every part of it that a mask cuts out stays sorted,
so that merging needs no further sort of that size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualtower_trainer.data.dataset import Interactions

__all__ = [
    "contains",
    "lists_by_user",
    "merge_repeats",
    "pair_codes",
    "pair_starts",
    "sort_by_pair",
]


def sort_by_pair(log: Interactions, n_items: int) -> Interactions:
    """The same interactions by user, then item, then time."""
    order = np.lexsort((log.timestamps, pair_codes(log, n_items)))
    return Interactions(
        log.users[order],
        log.items[order],
        log.timestamps[order],
        log.weights[order],
        log.user_ids,
    )


def merge_repeats(log: Interactions, *, last: bool = True) -> Interactions:
    """One row per user and item: weights summed, at the last (or first) of the times.

    Args:
        log: sorted by `sort_by_pair`.
        last: which time stands for all; the result is sorted by user, then most recent first (or
            earliest first), then by item.
    """
    if not len(log):
        return log
    users, items, times = log.users, log.items, log.timestamps
    starts = pair_starts(log)
    weights = np.add.reduceat(log.weights.astype(np.float64), starts).astype(np.float32)
    ends = np.append(starts[1:], len(log)) - 1
    users, items, times = users[starts], items[starts], times[ends if last else starts]
    since = times.max() - times if last else times - times.min()
    # one key, nearly sorted: a stable argsort of it is many times faster than a lexsort
    order = np.argsort(users * (since.max() + 1) + since, kind="stable")
    return Interactions(users[order], items[order], times[order], weights[order], log.user_ids)


def pair_starts(log: Interactions) -> npt.NDArray[np.int64]:
    """Where each user and item begins in a log that `sort_by_pair` has sorted, [pairs]."""
    new = np.ones(len(log), bool)
    new[1:] = (log.users[1:] != log.users[:-1]) | (log.items[1:] != log.items[:-1])
    return np.flatnonzero(new)


def pair_codes(log: Interactions, n_items: int) -> npt.NDArray[np.int64]:
    """User and item of each interaction as one number, [interactions]."""
    return log.users.astype(np.int64) * n_items + log.items


def contains(codes: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of `wanted` are among `codes`, bool [wanted]."""
    if not len(codes):
        return np.zeros(len(wanted), bool)
    ordered = np.sort(codes)
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return ordered[place] == wanted


def lists_by_user(log: Interactions, users: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    """The items of each of `users`; `log` is sorted by user."""
    begins = np.searchsorted(log.users, users, side="left")
    ends = np.searchsorted(log.users, users, side="right")
    return [log.items[begin:end] for begin, end in zip(begins, ends, strict=True)]
