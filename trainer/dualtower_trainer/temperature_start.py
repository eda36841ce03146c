"""Where the learned temperature starts, and the range that it may move in."""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.losses import Temperature
from dualtower_trainer.towers import fit_into_ball

__all__ = ["first_temperature"]

_MOST_PEOPLE = 256
_SMALLEST_SPREAD = 1e-6


def first_temperature(
    loss: LossConfig, user_tower: keras.Model, parts: np.ndarray, *, seed: int
) -> Temperature:
    """The temperature of `loss`; of `linked_softmax` in units of the spread of the scores.

    Args:
        loss: kind, start and range.
        user_tower: as it starts.
        parts: float32 [items, dim - 1], the items as they start.
        seed: of whom the spread is taken over.
    """
    unit = 1.0
    if loss.kind == "linked_softmax":
        unit = _spread_of_scores(user_tower, parts, seed)
    low, first, high = (
        unit * value for value in (loss.temperature_min, loss.temperature, loss.temperature_max)
    )
    return Temperature(first, minimum=low, maximum=high)


def _spread_of_scores(user_tower: keras.Model, parts: np.ndarray, seed: int) -> float:
    """Standard deviation of the cosines of one-item histories with all items."""
    vectors = fit_into_ball(parts)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(vectors), min(_MOST_PEOPLE, len(vectors)), replace=False)
    people = user_tower(
        {"items": vectors[chosen][:, None], "mask": np.ones((len(chosen), 1), np.float32)}
    ).numpy()
    return max(float(np.std(people @ vectors.T)), _SMALLEST_SPREAD)
