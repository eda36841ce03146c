"""Ranking metrics over a full catalogue, one value a user, so that they have standard errors.

Recall@k = hits / min(k, targets), so that a perfect list scores 1 whatever the number of targets.
NDCG@k with binary gains 1 / log2(rank + 1) over the ideal list (Järvelin & Kekäläinen 2002,
https://doi.org/10.1145/582415.582418). Reciprocal rank of the best-placed target in the full
ranking. Ties are broken by the lower index, as the exported retrieval does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Estimate", "estimate", "ndcg_at", "recall_at", "reciprocal_rank", "top_k"]


@dataclass(frozen=True)
class Estimate:
    """A mean over users with its standard error (sample deviation / √users)."""

    value: float
    se: float
    users: int

    def as_dict(self) -> dict[str, float | int]:
        return {"value": self.value, "se": self.se, "users": self.users}


def estimate(values: np.ndarray) -> Estimate:
    """Mean and standard error of per-user values [users]; NaN marks a user without a value."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return Estimate(float("nan"), float("nan"), 0)
    spread = float(known.std(ddof=1)) if known.size > 1 else float("nan")
    return Estimate(float(known.mean()), float(spread / np.sqrt(known.size)), int(known.size))


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices int64 [users, k] of the k highest of `scores` [users, items], best first.

    Equal scores keep the lower index first. Entries of -inf may appear when fewer than k items
    remain; callers that exclude items check for them.
    """
    k = min(k, scores.shape[1])
    if k == scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable")
    # argpartition cuts through ties at the k-th value arbitrarily: take everything at or above it
    threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    best = np.empty((scores.shape[0], k), np.int64)
    for row, (values, cut) in enumerate(zip(scores, threshold, strict=True)):
        above = np.flatnonzero(values >= cut)
        best[row] = above[np.argsort(-values[above], kind="stable")[:k]]
    return best


def recall_at(k: int, ranked: np.ndarray, targets: Sequence[np.ndarray]) -> np.ndarray:
    """Recall@k [users] of `ranked` [users, >= k] against the targets; NaN without.

    A -1 in `ranked` is a place that nothing filled.
    """
    wanted = np.array([len(rows) for rows in targets])
    possible = np.where(wanted > 0, np.minimum(k, wanted), np.nan)
    return np.asarray(_hits(k, ranked, targets).sum(axis=1) / possible, np.float64)


def ndcg_at(k: int, ranked: np.ndarray, targets: Sequence[np.ndarray]) -> np.ndarray:
    """NDCG@k [users] with binary gains; NaN without targets."""
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    wanted = np.array([len(rows) for rows in targets])
    best = np.concatenate([[np.nan], np.cumsum(discount)])[np.minimum(k, wanted)]
    hits = _hits(k, ranked, targets)
    return np.asarray(hits @ discount[: hits.shape[1]] / best, np.float64)


def _hits(k: int, ranked: np.ndarray, targets: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each of the first k places holds a target, bool [users, at most k]."""
    lists = ranked[:, :k].astype(np.int64)
    items = np.concatenate([*targets, np.empty(0, np.int64)]).astype(np.int64)
    base = max(int(lists.max(initial=0)), int(items.max(initial=0))) + 2
    users = np.repeat(np.arange(len(targets)), [len(rows) for rows in targets])
    return np.isin(lists + 1 + base * np.arange(len(lists))[:, None], items + 1 + base * users)


def reciprocal_rank(scores: np.ndarray, targets: Sequence[np.ndarray]) -> np.ndarray:
    """1 / rank [users] of the best-placed target among all `scores` [users, items]; NaN without."""
    values = np.full(len(targets), np.nan)
    for user, (row, wanted) in enumerate(zip(scores, targets, strict=True)):
        if len(wanted):
            best = wanted[np.argmax(row[wanted])]
            ahead = (row > row[best]).sum() + (row[:best] == row[best]).sum()
            values[user] = 1.0 / (1 + ahead)
    return values
