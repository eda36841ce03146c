"""How many passes over the log a trained baseline gets: as many as were best for validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet
from dualtower_trainer.baselines.tuning import Tuning

__all__ = ["Model", "best_epochs", "train_epochs"]


class Model(Protocol):
    """A baseline that learns in passes."""

    def epoch(self) -> float:
        """One pass over the log; returns the mean loss."""

    def scorer(self) -> Scorer:
        """Scores by the parameters of now."""


def best_epochs(
    make: Callable[[TrainingSet, int], Model], tuning: Tuning, *, most: int, patience: int = 3
) -> int:
    """Passes over `tuning.train` with the highest validation recall, at most `most`.

    Args:
        make: a fresh model from a training set and a seed.
        tuning: what the choice is made on.
        most: passes to try; also the answer where nobody can be ranked.
        patience: looks without a better recall before it stops.
    """
    if not tuning.possible:
        return most
    model = make(tuning.train, tuning.seed)
    recalls: list[float] = []
    while len(recalls) < most and len(recalls) - int(np.argmax([-1.0, *recalls])) < patience:
        model.epoch()
        recalls.append(tuning.recall(model.scorer()))
    return int(np.argmax(recalls)) + 1


def train_epochs(model: Model, epochs: int) -> Scorer:
    """The scorer after `epochs` passes."""
    for _ in range(epochs):
        model.epoch()
    return model.scorer()
