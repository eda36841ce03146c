"""How well scores foresee the validation period, cheaply enough to ask many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.data import Interactions, Split
from dualtower_trainer.metrics import ndcg_at, recall_at, top_k
from dualtower_trainer.user_logs import rows_by_user

__all__ = ["Look", "Validation"]

_CHUNK = 512
_K = 20

Scorer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Look:
    """Metrics of each validation user; NaN where a user has no target of the kind.

    Attributes:
        recall: Recall@20 float64 [users] over the items that training knows.
        ndcg: NDCG@20 of the same.
        cold_recall: Recall@20 float64 [users] of unseen items among themselves.
        cold_ndcg: NDCG@20 of the same.
    """

    recall: np.ndarray
    ndcg: np.ndarray
    cold_recall: np.ndarray
    cold_ndcg: np.ndarray

    @property
    def value(self) -> float:
        """What is maximised: the mean of both metrics, warm and cold as they are asked for."""
        parts = [_mean(self.warm_value), _mean(self.cold_value)]
        weights = [1.0, 0.5 if np.isfinite(self.cold_recall).any() else 0.0]
        return float(np.average(np.nan_to_num(parts), weights=weights))

    @property
    def warm_value(self) -> np.ndarray:
        return (self.recall + self.ndcg) / 2

    @property
    def cold_value(self) -> np.ndarray:
        return (self.cold_recall + self.cold_ndcg) / 2

    @property
    def both(self) -> np.ndarray:
        """Values [users] for paired comparisons, warm and cold as `value` weighs them."""
        share = 0.5 if np.isfinite(self.cold_recall).any() else 0.0
        return (np.nan_to_num(self.warm_value) + share * np.nan_to_num(self.cold_value)) / (
            1 + share
        )

    def numbers(self) -> dict[str, float | None]:
        """Means by name, None where nobody was asked."""
        named = {
            "validation_recall_at_20": self.recall,
            "validation_ndcg_at_20": self.ndcg,
            "validation_cold_recall_at_20": self.cold_recall,
            "validation_cold_ndcg_at_20": self.cold_ndcg,
        }
        return {
            name: float(np.nanmean(values)) if np.isfinite(values).any() else None
            for name, values in named.items()
        }


class Validation:
    """The validation users of a split, at most `limit` of them, evenly chosen.

    Attributes:
        histories: list of int32 rows, most recent first.
        warm: bool [items] that may be recommended to them.
        cold: bool [items] that training did not see.
    """

    def __init__(self, parts: Split, *, limit: int, with_cold: Interactions | None = None) -> None:
        """Takes the people of `parts.validation`.

        With `with_cold`, the training log before items were hidden as unseen, those who took such
        an item there are asked for it too, by what else they took: many more than take one in the
        validation period.
        """
        held = parts.validation
        nothing = np.empty(0, np.int32)
        rows = _evenly(len(held), limit)
        self.histories = [held.histories[row] for row in rows]
        self._warm_targets = [held.warm_targets[row] for row in rows]
        self._cold_targets = [held.cold_targets[row] for row in rows]
        if with_cold is not None:
            self._cold_targets = [nothing] * len(rows)
            people = _people_with_hidden(parts, with_cold)
            for row in _evenly(len(people), limit):
                history, hidden = people[row]
                self.histories.append(history)
                self._warm_targets.append(nothing)
                self._cold_targets.append(hidden)
        blocked = parts.catalogue.blocked
        self.warm = parts.warm & ~blocked
        self.cold = ~parts.warm & ~blocked

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def asked(self) -> int:
        """Users with a target among the warm items."""
        return sum(len(targets) > 0 for targets in self._warm_targets)

    def look(self, scores: Scorer) -> Look:
        """Ranks for everybody.

        Args:
            scores: places of users int [n] to float32 [n, items], which may be written into.
        """
        values = np.full((4, len(self)), np.nan)
        for start in range(0, len(self), _CHUNK):
            places = np.arange(start, min(start + _CHUNK, len(self)))
            found = scores(places)
            for row, place in zip(found, places, strict=True):
                row[self.histories[place]] = -np.inf
            for first, candidates, targets in (
                (0, self.warm, self._warm_targets), (2, self.cold, self._cold_targets),
            ):  # fmt: skip
                wanted = [targets[place] for place in places]
                if not candidates.any() or not any(len(one) for one in wanted):
                    continue
                lists = top_k(np.where(candidates, found, -np.inf), _K)
                values[first, places] = recall_at(_K, lists, wanted)
                values[first + 1, places] = ndcg_at(_K, lists, wanted)
        return Look(*values)


def _evenly(count: int, limit: int) -> np.ndarray:
    return (
        np.unique(np.linspace(0, count - 1, min(count, limit)).astype(int))
        if count
        else (np.empty(0, int))
    )


def _people_with_hidden(parts: Split, log: Interactions) -> list[tuple[np.ndarray, np.ndarray]]:
    """What each user took of the items that training sees, most recent first, and of the others."""
    people = []
    for rows in rows_by_user(log):
        hidden = parts.cold[rows]
        if hidden.any() and not hidden.all():
            people.append((rows[~hidden], rows[hidden]))
    return people


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
