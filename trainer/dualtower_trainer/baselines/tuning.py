"""Settings of a baseline, chosen on the validation users and then fitted on everything.

The choice sees `train` and the validation targets alone; what is finally fitted sees `full`: all
that lies before what is to be predicted. No baseline is handicapped by the data that chose for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet
from dualtower_trainer.data import Heldout
from dualtower_trainer.metrics import recall_at, top_k

__all__ = ["Tuning", "best_setting"]

T = TypeVar("T")
_CHUNK = 512
_USERS = 2000  # more do not change a choice, and cost time


@dataclass(frozen=True, eq=False)
class Tuning:
    """What choices are made on.

    Attributes:
        train: the log before the validation targets.
        full: the log before whatever the baseline will be asked.
        validation: users with histories in `train`; only their warm targets are looked at.
        blocked: bool [items], never recommended.
        seed: of everything random.
    """

    train: TrainingSet
    full: TrainingSet
    validation: Heldout
    blocked: np.ndarray
    seed: int = 0
    _chosen: dict[str, Any] = field(default_factory=dict, repr=False)

    def once(self, name: str, choose: Callable[[], T]) -> T:
        """A choice that several baselines share, made when the first of them asks."""
        if name not in self._chosen:
            self._chosen[name] = choose()
        chosen: T = self._chosen[name]
        return chosen

    @property
    def possible(self) -> bool:
        """Whether any validation user has a target."""
        return len(self._places) > 0

    def recall(self, scorer: Scorer) -> float:
        """Mean Recall@20 of the warm validation targets, history removed."""
        places, held = self._places, self.validation
        out = (self.train.popularity == 0) | self.blocked
        found = []
        for start in range(0, len(places), _CHUNK):
            part = places[start : start + _CHUNK]
            histories = [held.histories[place] for place in part]
            scores = scorer(histories, held.users[part])
            scores[:, out] = -np.inf
            for row, history in zip(scores, histories, strict=True):
                row[history] = -np.inf
            targets = [held.warm_targets[place] for place in part]
            found.append(recall_at(20, top_k(scores, 20), targets))
        return float(np.mean(np.concatenate(found)))

    @property
    def _places(self) -> np.ndarray:
        wanted = [place for place, items in enumerate(self.validation.warm_targets) if len(items)]
        if len(wanted) > _USERS:
            chosen = np.random.default_rng(self.seed).choice(len(wanted), _USERS, replace=False)
            wanted = [wanted[place] for place in np.sort(chosen)]
        return np.asarray(wanted, np.int64)


def best_setting(
    settings: Sequence[T], fit: Callable[[TrainingSet, T], Scorer], tuning: Tuning
) -> T:
    """The setting of highest validation recall; of equals, or without users, the first."""
    if len(settings) == 1 or not tuning.possible:
        return settings[0]
    recalls = [tuning.recall(fit(tuning.train, setting)) for setting in settings]
    return settings[int(np.argmax(recalls))]
