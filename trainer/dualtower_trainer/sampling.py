"""Training examples: part of a person's log is hidden, the rest is the history that must find it.

Every batch is a function of (seed, step) alone, and of the negatives mined before where there are
some, so a resumed training draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma

import numpy as np

from dualtower_trainer.heads.labels import NO_EVENT, Labels
from dualtower_trainer.negatives_config import NegativesConfig
from dualtower_trainer.pairs import accidental_hits

__all__ = ["Batch", "BatchSampler"]


@dataclass(frozen=True)
class Batch:
    """One step's arrays; item numbers are positions in `rows`, not catalogue rows.

    Attributes:
        rows: int32 [unique], catalogue rows that occur in the batch.
        history: int32 [users, history], most recent first.
        history_mask: float32 [users, history].
        targets: int32 [users, targets].
        target_mask: float32 [users, targets].
        candidates: int32 [users·targets + negatives]: all targets, then even draws, draws by
            popularity, and the mined negatives of each user in turn.
        accidental: bool [users, candidates], true where the candidate is no negative.
        log_expected_count: float32 [candidates].
        users: int64 [users], places in `BatchSampler.logs`.
        ratings: float32 [users, targets], what each target was given, NaN where nothing is known.
        events: int32 [users, targets], the event it came to, NO_EVENT likewise.
    """

    rows: np.ndarray
    history: np.ndarray
    history_mask: np.ndarray
    targets: np.ndarray
    target_mask: np.ndarray
    candidates: np.ndarray
    accidental: np.ndarray
    log_expected_count: np.ndarray
    users: np.ndarray
    ratings: np.ndarray
    events: np.ndarray


class BatchSampler:
    """Draws batches from the logs of training users.

    Example:
        sampler = BatchSampler(logs, n_items, users_per_step=128, history_items=100)
        batch = sampler.batch(seed=0, step=17)
    """

    def __init__(
        self,
        logs: Sequence[np.ndarray],
        n_items: int,
        *,
        history_items: int,
        users_per_step: int = 128,
        targets_per_user: int = 16,
        uniform_negatives: int = 2048,
        short_history_share: float = 0.2,
        negatives: NegativesConfig | None = None,
        groups: np.ndarray | None = None,
        labels: Sequence[Labels] | None = None,
    ) -> None:
        """Takes `logs`: per user the catalogue rows taken, most recent first, without repeats.

        `groups`: int32 [items] of `near_duplicate_groups`, where `negatives` needs them.
        `labels`: of each log, as long as it is; None where no head asks for them.

        Raises:
            ValueError: no user has two items, so nothing can be hidden from a history.
        """
        used = [place for place, log in enumerate(logs) if len(log) >= 2]
        self._logs = [logs[place] for place in used]
        self._labels = None if labels is None else [labels[place] for place in used]
        if not self._logs:
            raise ValueError("no user has two items before the validation period")
        self._n_items = n_items
        self._users = min(users_per_step, len(self._logs))
        self._targets = targets_per_user
        self._history = history_items
        self._negatives = uniform_negatives
        self._short = short_history_share
        self.options = negatives or NegativesConfig()
        self._groups = np.arange(n_items) if groups is None else groups
        taken = np.concatenate(self._logs)
        self._pool = np.unique(taken).astype(np.int32)
        people = np.bincount(taken, minlength=n_items)[self._pool]
        self._popularity = people / people.sum()
        self._log_expected = self.log_expected(self._expected_targets())

    @property
    def logs(self) -> Sequence[np.ndarray]:
        """What each user with at least two items took, int [items], most recent first."""
        return self._logs

    @property
    def users(self) -> int:
        """Users with at least two items."""
        return len(self._logs)

    @property
    def users_per_step(self) -> int:
        return self._users

    @property
    def drawn(self) -> int:
        """Candidates of a batch before the mined ones: places for targets, and draws."""
        return self._users * self._targets + self._negatives + self.options.popular

    @property
    def n_items(self) -> int:
        """Rows of the catalogue."""
        return self._n_items

    @property
    def groups(self) -> np.ndarray | None:
        """int32 [items], near-duplicates share a number; None where they are negatives."""
        return self._groups if self.options.near_duplicates else None

    @property
    def trained_rows(self) -> np.ndarray:
        """int32 catalogue rows that can occur in a batch."""
        return self._pool

    def batch(self, *, seed: int, step: int, hard: np.ndarray | None = None) -> Batch:
        """The batch of one step, a function of its arguments alone.

        `hard`: int32 [all users, per user], catalogue rows mined for each, -1 for none. Nobody can
        say how often mining brings an item, so each enters with the count 1, for its own user
        only: beside the draws that stand for the whole catalogue it counts as once more itself.
        """
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(self._logs), self._users, replace=False)
        history = np.zeros((self._users, self._history), np.int32)
        targets = np.zeros((self._users, self._targets), np.int32)
        history_mask = np.zeros(history.shape, np.float32)
        target_mask = np.zeros(targets.shape, np.float32)
        ratings = np.full(targets.shape, np.nan, np.float32)
        events = np.full(targets.shape, NO_EVENT, np.int32)
        logs = [self._logs[user] for user in chosen]
        for row, log in enumerate(logs):
            hidden = rng.choice(len(log), self.hidden(len(log)), replace=False)
            rest = np.delete(log, hidden)
            asked = hidden[self._different(log[hidden])]
            targets[row, : len(asked)] = log[asked]
            target_mask[row, : len(asked)] = 1
            if self._labels is not None:
                said = self._labels[chosen[row]].at(asked)
                ratings[row, : len(asked)], events[row, : len(asked)] = said.ratings, said.events
            if rng.random() < self._short:  # so that newcomers, and nobody at all, are learned too
                rest = rest[: rng.integers(0, 11)]
            rest = rest[: self._history]
            history[row, : len(rest)] = rest
            history_mask[row, : len(rest)] = 1
        drawn = [rng.choice(self._pool, self._negatives)]
        if self.options.popular:
            drawn.append(rng.choice(self._pool, self.options.popular, p=self._popularity))
        candidates = np.concatenate([targets.ravel(), *drawn])
        excluded = self._taken(candidates, logs)
        excluded[:, : targets.size] |= target_mask.ravel() == 0
        log_expected = self._log_expected[candidates]
        if hard is not None:
            mined = hard[chosen]
            own = np.eye(self._users, dtype=bool).repeat(mined.shape[1], axis=1)
            mined = mined.ravel()
            excluded = np.concatenate([excluded, self._taken(mined, logs) | ~own], axis=1)
            candidates = np.concatenate([candidates, np.maximum(mined, 0)]).astype(np.int32)
            log_expected = np.concatenate([log_expected, np.zeros(len(mined), np.float32)])
        rows, places = np.unique(np.concatenate([history.ravel(), candidates]), return_inverse=True)
        places = places.astype(np.int32)
        return Batch(
            rows=rows.astype(np.int32),
            history=places[: history.size].reshape(history.shape),
            history_mask=history_mask,
            targets=places[history.size : history.size + targets.size].reshape(targets.shape),
            target_mask=target_mask,
            candidates=places[history.size :],
            accidental=excluded,
            log_expected_count=log_expected,
            users=chosen,
            ratings=ratings,
            events=events,
        )

    def hidden(self, length: int) -> int:
        """How many items of a log of `length` are hidden."""
        return min(self._targets, max(1, length // 4))

    def log_expected(self, targets: np.ndarray) -> np.ndarray:
        """ln of how often a batch holds each item, float32 [items].

        `targets`: float64 [items], how often as a target; the draws come on top.
        """
        expected = targets.copy()
        expected[self._pool] += self._negatives / len(self._pool)
        expected[self._pool] += self.options.popular * self._popularity
        return np.log(np.maximum(expected, 1e-9)).astype(np.float32)

    def _taken(self, candidates: np.ndarray, logs: Sequence[np.ndarray]) -> np.ndarray:
        """bool [users, candidates], those that are no negatives for the owners of `logs`."""
        return accidental_hits(candidates, logs, self._n_items, groups=self.groups)

    def _different(self, rows: np.ndarray) -> np.ndarray:
        """Places in `rows`; if so asked, without those whose text says what an earlier one said."""
        if not self.options.diverse_targets:
            return np.arange(len(rows))
        _, first = np.unique(self._groups[rows], return_index=True)
        return np.sort(first)

    def _expected_targets(self) -> np.ndarray:
        """How often a batch asks for each item, in expectation; float64 [items].

        A log is in the batch with chance users_per_step / users, and shows `hidden` of its items,
        each with equal chance. Of g near-duplicates among n
        items, h hidden, one is asked for with chance 1 - C(n - g, h) / C(n, h), each as likely.
        """
        expected = np.zeros(self._n_items)
        for log in self._logs:
            hidden = self.hidden(len(log))
            chance: float | np.ndarray = hidden / len(log)
            if self.options.diverse_targets:
                _, group, sizes = np.unique(
                    self._groups[log], return_inverse=True, return_counts=True
                )
                none = [_share_without(len(log), size, hidden) for size in sizes.tolist()]
                chance = ((1 - np.asarray(none)) / sizes)[group]
            expected[log] += chance
        expected *= self._users / len(self._logs)
        return expected


def _share_without(length: int, marked: int, drawn: int) -> float:
    """C(length - marked, drawn) / C(length, drawn): chance to draw none of the marked."""
    rest = length - marked
    if rest < drawn:
        return 0.0
    logs = lgamma(rest + 1) - lgamma(rest - drawn + 1)
    return float(np.exp(logs - lgamma(length + 1) + lgamma(length - drawn + 1)))
