"""What is taken more often of late than over all time is likely to be taken next."""

from __future__ import annotations

import numpy as np

__all__ = ["trend_scale"]


def trend_scale(
    items: np.ndarray,
    timestamps: np.ndarray,
    n_items: int,
    *,
    now_s: int,
    half_life_s: float,
    power: float,
    smoothing: float,
    freshness: float = 0.0,
    young_s: float = 1.0,
) -> np.ndarray:
    """((r_j + a·R/N) / (n_j + a))^power · (1 + age_j / young)^-freshness, of mean 1.

    r_j is the popularity with weights that halve every `half_life_s`, R its sum, n_j the plain
    popularity, N its sum and a the smoothing; the age is the time since an item was first taken.
    The mean is taken over interactions, so an item of average trend gets about 1.

    Args:
        items: int [interactions].
        timestamps: int64 seconds [interactions], none after `now_s`.

    Returns:
        float32 [n_items]; 1 for an item without any interaction.
    """
    overall = np.bincount(items, minlength=n_items).astype(np.float64)
    if not power or not len(items):
        return np.ones(n_items, np.float32)
    age = (now_s - np.asarray(timestamps, np.float64)) / half_life_s
    recent = np.bincount(items, weights=np.exp2(-np.maximum(age, 0)), minlength=n_items)
    typical = recent.sum() / overall.sum()
    ratio = (recent + smoothing * typical) / ((overall + smoothing) * typical)
    first = np.full(n_items, now_s, np.float64)
    np.minimum.at(first, items, timestamps)
    scale = ratio**power * (1 + (now_s - first) / young_s) ** -freshness
    scale /= np.average(scale, weights=overall)
    scale[overall == 0] = 1.0
    return scale.astype(np.float32)
