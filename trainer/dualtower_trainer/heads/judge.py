"""How well the heads foresee validation, beside what needs no head."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualtower_trainer.checkpoint import embed_histories
from dualtower_trainer.data import Split
from dualtower_trainer.heads.labels import NO_EVENT, SplitLabels
from dualtower_trainer.heads.metrics import event_baseline, event_quality, rating_rmse
from dualtower_trainer.heads.rating_biases import RatingBiases
from dualtower_trainer.learner import Learner
from dualtower_trainer.towers import fit_into_ball

__all__ = ["HeadJudge"]


class HeadJudge:
    """Asks the heads of a learner for the labels of validation targets.

    The people are those whose targets have a label, at most `limit` of them, evenly chosen. What is
    foreseen moves no choice: the best look is that of the best recommendations.

    Args:
        parts: the split.
        labels: of this split.
        learner: has heads.
        limit: of the people.
    """

    def __init__(self, parts: Split, labels: SplitLabels, learner: Learner, *, limit: int) -> None:
        assert learner.heads is not None
        self._learner, self._heads = learner, learner.heads
        labelled = ~np.isnan(labels.validation.ratings) | (labels.validation.events != NO_EVENT)
        people = np.unique(labels.people[labelled])
        if len(people) > limit:
            people = people[np.linspace(0, len(people) - 1, limit).astype(int)]
        chosen = labelled & np.isin(labels.people, people)
        self._asked = labels.validation.at(chosen)
        self._items = labels.items[chosen]
        self._places = np.searchsorted(people, labels.people[chosen])
        self._users = parts.validation.users[people]
        self._histories = [parts.validation.histories[person] for person in people]
        self._parts, self._labels = parts, labels

    def look(self) -> dict[str, float]:
        """Metrics by name, of the weights of now; none where nobody can be asked."""
        if not len(self._asked):
            return {}
        vectors = fit_into_ball(self._learner.parts())
        embedded = embed_histories(
            self._learner.user_tower, vectors, self._histories, self._learner.config
        )
        people, items = embedded[self._places], vectors[self._items]
        found: dict[str, float] = {}
        rated, done = self._known()
        if self._heads.config.ratings and rated.any():
            foreseen = self._heads.ratings(people[rated], items[rated])
            found["validation_rating_rmse"] = rating_rmse(foreseen, self._asked.ratings[rated])
        if self._heads.config.events and done.any():
            chances = self._heads.events(people[done], items[done])
            accuracy, log_loss = event_quality(chances, self._asked.events[done])
            found["validation_event_accuracy"] = accuracy
            found["validation_event_log_loss"] = log_loss
        return found

    def baselines(self) -> dict[str, Any]:
        """The same metrics of what is usual in training, and how many pairs are asked for."""
        found: dict[str, Any] = {}
        rated, done = self._known()
        if self._heads.config.ratings and rated.any():
            asked = self._asked.ratings[rated]
            biases = self._biases()
            by_bias = biases.predict(self._users[self._places[rated]], self._items[rated])
            found["ratings"] = {
                "pairs": len(asked),
                "mean_rmse": rating_rmse(biases.mean, asked),
                "biases_rmse": rating_rmse(by_bias, asked),
            }
        if self._heads.config.events and done.any():
            asked = self._asked.events[done]
            train = self._labels.train.events
            names = self._labels.event_names
            accuracy, log_loss = event_baseline(train[train != NO_EVENT], asked, len(names))
            found["events"] = {
                "pairs": len(asked),
                "names": list(names),
                "majority_accuracy": accuracy,
                "shares_log_loss": log_loss,
            }
        return found

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        return ~np.isnan(self._asked.ratings), self._asked.events != NO_EVENT

    def _biases(self) -> RatingBiases:
        log, ratings = self._parts.train, self._labels.train.ratings
        known = ~np.isnan(ratings)
        return RatingBiases.fit(
            log.users[known],
            log.items[known],
            ratings[known],
            n_users=len(log.user_ids),
            n_items=len(self._parts.catalogue),
        )
