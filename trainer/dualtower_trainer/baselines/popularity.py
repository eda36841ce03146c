"""The same list for everybody: what most people took, ever or lately."""

from __future__ import annotations

import numpy as np

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet

__all__ = ["fit_popularity", "fit_recent_popularity", "recent_popularity"]

_DAY_S = 86_400


def fit_popularity(data: TrainingSet) -> Scorer:
    """Scores an item by the number of users who took it in training."""
    return _for_everybody(data.popularity)


def fit_recent_popularity(data: TrainingSet, *, half_life_days: float) -> Scorer:
    """Popularity in which an interaction loses half of its weight every `half_life_days`."""
    return _for_everybody(recent_popularity(data, half_life_days=half_life_days))


def recent_popularity(data: TrainingSet, *, half_life_days: float) -> np.ndarray:
    """Σ 2^(-age / half-life) over the users of each item, float32 [items].

    The age of an interaction is counted from the last one of the log.
    """
    times_s = data.log.timestamps
    age_days = (times_s.max(initial=0) - times_s) / _DAY_S
    weights = np.exp2(-age_days / half_life_days)
    return np.bincount(data.log.items, weights, data.n_items).astype(np.float32)


def _for_everybody(scores: np.ndarray) -> Scorer:
    return lambda histories, users: np.broadcast_to(scores, (len(histories), len(scores))).copy()
