"""Training examples: part of a person's log is hidden, the rest is the history that must find it.

Every batch is a function of (seed, step) alone, so a resumed training draws what an uninterrupted
one would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        candidates: int32 [users·targets + negatives]: all targets, then uniform draws.
        accidental: bool [users, candidates], true where the candidate is no negative.
        log_expected_count: float32 [candidates].
    """

    rows: np.ndarray
    history: np.ndarray
    history_mask: np.ndarray
    targets: np.ndarray
    target_mask: np.ndarray
    candidates: np.ndarray
    accidental: np.ndarray
    log_expected_count: np.ndarray


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
    ) -> None:
        """Takes `logs`: per user the catalogue rows taken, most recent first, without repeats.

        Raises:
            ValueError: no user has two items, so nothing can be hidden from a history.
        """
        self._logs = [log for log in logs if len(log) >= 2]
        if not self._logs:
            raise ValueError("no user has two items before the validation period")
        self._n_items = n_items
        self._users = min(users_per_step, len(self._logs))
        self._targets = targets_per_user
        self._history = history_items
        self._negatives = uniform_negatives
        self._short = short_history_share
        self._pool = np.unique(np.concatenate(self._logs)).astype(np.int32)
        self._log_expected = np.log(np.maximum(self._expected_draws(), 1e-9)).astype(np.float32)

    @property
    def users(self) -> int:
        """Users with at least two items."""
        return len(self._logs)

    @property
    def users_per_step(self) -> int:
        return self._users

    @property
    def trained_rows(self) -> np.ndarray:
        """int32 catalogue rows that can occur in a batch."""
        return self._pool

    def batch(self, *, seed: int, step: int) -> Batch:
        """The batch of one step, a function of its arguments alone."""
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(self._logs), self._users, replace=False)
        history = np.zeros((self._users, self._history), np.int32)
        targets = np.zeros((self._users, self._targets), np.int32)
        history_mask = np.zeros(history.shape, np.float32)
        target_mask = np.zeros(targets.shape, np.float32)
        taken = np.zeros((self._users, self._n_items), bool)
        for row, user in enumerate(chosen):
            log = self._logs[user]
            taken[row, log] = True
            hidden = rng.choice(len(log), self._hidden(len(log)), replace=False)
            targets[row, : len(hidden)] = log[hidden]
            target_mask[row, : len(hidden)] = 1
            rest = np.delete(log, hidden)
            if rng.random() < self._short:  # so that newcomers, and nobody at all, are learned too
                rest = rest[: rng.integers(0, 11)]
            rest = rest[: self._history]
            history[row, : len(rest)] = rest
            history_mask[row, : len(rest)] = 1
        negatives = rng.choice(self._pool, self._negatives)
        candidates = np.concatenate([targets.ravel(), negatives])
        padding = np.concatenate([target_mask.ravel() == 0, np.zeros(len(negatives), bool)])
        rows, places = np.unique(np.concatenate([history.ravel(), candidates]), return_inverse=True)
        places = places.astype(np.int32)
        return Batch(
            rows=rows.astype(np.int32),
            history=places[: history.size].reshape(history.shape),
            history_mask=history_mask,
            targets=places[history.size : history.size + targets.size].reshape(targets.shape),
            target_mask=target_mask,
            candidates=places[history.size :],
            accidental=taken[:, candidates] | padding,
            log_expected_count=self._log_expected[candidates],
        )

    def _hidden(self, length: int) -> int:
        return min(self._targets, max(1, length // 4))

    def _expected_draws(self) -> np.ndarray:
        """How often a batch holds each item as a candidate, in expectation; float64 [items].

        A log is in the batch with chance users_per_step / users, and shows `hidden` of its items,
        each with equal chance; uniform negatives come on top.
        """
        expected = np.zeros(self._n_items)
        for log in self._logs:
            expected[log] += self._hidden(len(log)) / len(log)
        expected *= self._users / len(self._logs)
        expected[self._pool] += self._negatives / len(self._pool)
        return expected
