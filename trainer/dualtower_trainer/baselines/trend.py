"""What is on the rise: a factor for every item, on top of any other scorer.

    factor_i = ((recent_i + a) / (overall_i + a))^power

`recent` counts the users who took the item in the last days of the log, `overall` all of them, and
`a` keeps rare items from extremes. A power of 0 leaves the scores as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet

__all__ = ["Trend", "with_trend"]

_DAY_S = 86_400


@dataclass(frozen=True)
class Trend:
    """Which days are recent, how strongly they count, and how much is added to both counts."""

    window_days: float
    power: float
    added: float = 1.0

    def factors(self, data: TrainingSet) -> np.ndarray:
        """float32 [items], above 0."""
        log = data.log
        since_s = log.timestamps.max(initial=0) - self.window_days * _DAY_S
        recent = np.bincount(log.items[log.timestamps > since_s], minlength=data.n_items)
        ratio = (recent + self.added) / (data.popularity + self.added)
        return np.asarray(ratio**self.power, np.float32)


def with_trend(scorer: Scorer, factors: np.ndarray) -> Scorer:
    """The scorer, each item's score times its factor (negative scores are divided, so that a
    rising item never falls)."""

    def score(histories: object, users: np.ndarray) -> np.ndarray:
        scores = scorer(histories, users)  # type: ignore[arg-type]
        return np.where(scores > 0, scores * factors, scores / factors)

    return score
