"""How well events and ratings are foreseen; pure functions of numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["event_baseline", "event_quality", "rating_rmse"]

_SMALLEST = 1e-12  # of a probability, so that one surprise costs no infinity


def event_quality(
    probabilities: npt.NDArray[np.floating], events: npt.NDArray[np.integer]
) -> tuple[float, float]:
    """Accuracy, and the mean of -ln of what each event was given.

    Args:
        probabilities: [pairs, events].
        events: int [pairs].
    """
    given = probabilities[np.arange(len(events)), events].astype(np.float64)
    right = probabilities.argmax(axis=1) == events
    return float(right.mean()), float(-np.log(np.maximum(given, _SMALLEST)).mean())


def event_baseline(
    train: npt.NDArray[np.integer], events: npt.NDArray[np.integer], count: int
) -> tuple[float, float]:
    """`event_quality` of always giving the shares that the events have in training.

    Args:
        train: int [training pairs].
        events: int [pairs].
        count: how many events there are.
    """
    shares = np.bincount(train, minlength=count) / len(train)
    return event_quality(np.tile(shares, (len(events), 1)), events)


def rating_rmse(foreseen: npt.ArrayLike, ratings: npt.NDArray[np.floating]) -> float:
    """Root of the mean squared error; `foreseen` is [pairs], or one number for all."""
    errors = np.asarray(foreseen, np.float64) - ratings
    return float(np.sqrt(np.mean(errors**2)))
