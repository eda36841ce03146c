"""One number that decides how often unseen items are shown among the seen ones.

Scores of items placed by their text are smaller than those of items that training saw, by how
much depends on the data. A scale on them moves their share of the lists from none to all, so any
figure for unseen items in a full catalogue depends on it: here it is fixed by a rule, their share
of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dualtower_trainer.metrics import top_k

__all__ = ["cold_scale_for_share", "share_of_cold"]

_ROUNDS = 14
_SMALLEST, _LARGEST = 1 / 32, 32.0


def share_of_cold(scores: np.ndarray, cold: np.ndarray, k: int) -> float:
    """Share of cold items among the k best of each row of float [users, items]."""
    lists = top_k(scores, k)
    shown = np.take_along_axis(scores, lists, axis=1) > -np.inf
    return float(cold[lists][shown].mean()) if shown.any() else 0.0


def cold_scale_for_share(
    scores: Callable[[float], np.ndarray], cold: np.ndarray, *, share: float, k: int = 20
) -> float:
    """The scale at which cold items fill `share` of the lists, by bisection in the logarithm.

    Args:
        scores: a scale to scores float [users, items], -inf where an item may not be shown.
        cold: bool [items].
        share: wanted share, from 0 to 1.
        k: length of a list.

    Returns:
        from 1/32 to 32; the nearest end where the share cannot be reached.
    """
    low, high = np.log(_SMALLEST), np.log(_LARGEST)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if share_of_cold(scores(float(np.exp(middle))), cold, k) < share:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
