"""Inverse-propensity weights: an item that was shown more often counts less each time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["propensity_weights"]


def propensity_weights(
    popularity: npt.ArrayLike, power: float, clip: float = 10.0
) -> npt.NDArray[np.float32]:
    """One weight an item, with mean 1 over the interactions, so that the loss keeps its scale.

    The chance that an item was seen is taken as (count / largest count)^power (Saito et al. 2020,
    https://arxiv.org/abs/1909.03601, with power 0.5), and the weight is its inverse, at most `clip`
    times that of the most popular item: the variance that a rare item brings is bounded.

    Args:
        popularity: [items], interactions of each, not negative.
        power: 0 weighs all items alike, 1 corrects fully.
        clip: the largest inverse, at least 1.

    Returns:
        float32 [items]; an item without interactions has the weight of the clip.

    Example:
        weights = tf.gather(propensity_weights(counts, 0.5), target_rows)  # [batch, targets]
    """
    counts = np.asarray(popularity, np.float64)
    if counts.ndim != 1 or (counts < 0).any():
        raise ValueError("popularity must be one count an item, none negative")
    if not 0 <= power <= 1:
        raise ValueError(f"power must be from 0 to 1, got {power}")
    if clip < 1:
        raise ValueError(f"clip must be at least 1, got {clip}")
    total = counts.sum()
    if total == 0:
        return np.ones(len(counts), np.float32)
    propensity = (counts / counts.max()) ** power
    inverse = 1 / np.maximum(propensity, 1 / clip)
    return (inverse * total / (inverse @ counts)).astype(np.float32)
