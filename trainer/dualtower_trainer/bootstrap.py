"""Is a difference more than chance? The paired bootstrap over users.

Both methods answer the same users, so their difference is taken user by user, and users are drawn
with replacement (Efron & Tibshirani 1993, chapters 13 and 16; for rankings Sakai 2006,
https://doi.org/10.1145/1148170.1148261).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Difference", "paired_bootstrap"]

_CELLS = 1 << 22  # counts that stand in memory at once


@dataclass(frozen=True)
class Difference:
    """The mean of a − b over users.

    Attributes:
        value: the mean.
        se: its standard error, sample deviation / √users.
        low: lower end of the percentile interval.
        high: its upper end.
        p: two-sided, of the hypothesis that the mean is 0.
        users: how many users have a value in both.
    """

    value: float
    se: float
    low: float
    high: float
    p: float
    users: int

    def as_dict(self) -> dict[str, float | int]:
        return {
            "value": self.value, "se": self.se, "low": self.low, "high": self.high,
            "p": self.p, "users": self.users,
        }  # fmt: skip


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, draws: int = 2000, seed: int = 0, *, level: float = 0.95
) -> Difference:
    """Percentile interval and two-sided p of mean(a − b).

    p = 2 · min(share of resampled means ≤ 0, share ≥ 0), each share counted as (n + 1) / (draws +
    1), so that it is never 0, and at most 1. Two methods without any difference have p = 1.

    Args:
        a: a value of each user, [users]; NaN marks a user without one, who is left out.
        b: likewise, the same users in the same order.
        draws: resamples.
        seed: of the resampling.
        level: of the interval.

    Example:
        paired_bootstrap(ours, theirs).p < 0.05
    """
    if a.shape != b.shape:
        raise ValueError(f"the same users must stand in both, got {a.shape} and {b.shape}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    apart = (a - b)[~np.isnan(a - b)]
    users = len(apart)
    if users < 2:
        value = float(apart.mean()) if users else float("nan")
        return Difference(value, float("nan"), float("nan"), float("nan"), 1.0, users)
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    piece = max(1, _CELLS // users)
    for start in range(0, draws, piece):
        count = min(piece, draws - start)
        means[start : start + count] = apart[random.integers(0, users, (count, users))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    below, above = (means <= 0).sum(), (means >= 0).sum()
    p = min(1.0, 2 * (min(below, above) + 1) / (draws + 1))
    se = apart.std(ddof=1) / np.sqrt(users)
    return Difference(float(apart.mean()), float(se), float(low), float(high), float(p), users)
