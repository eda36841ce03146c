"""Positives and uniform negatives of one pass over a log, and Adam for rows of a table.

Shared by the baselines that are trained step by step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from dualtower_trainer.baselines.training_set import TrainingSet

__all__ = ["RowAdam", "sampled_batches"]

_TRIES = 5
_LEAST_STEPS = 40


def sampled_batches(
    data: TrainingSet, random: np.random.Generator, *, batch: int, negatives: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Users [batch], items [batch] and items they did not take [batch, negatives], shuffled.

    Negatives are drawn evenly from the items of the log; one that the user took is drawn again, a
    few times. A pass has at least _LEAST_STEPS batches, so that a small log teaches something too:
    `batch` is the most. A last batch that is smaller is yielded too.
    """
    batch = min(batch, max(1, math.ceil(len(data.log) / _LEAST_STEPS)))
    order = random.permutation(len(data.log))
    users, items = data.log.users[order], data.log.items[order]
    pool = np.flatnonzero(data.popularity)
    taken = np.sort(data.log.users.astype(np.int64) * data.n_items + data.log.items)
    for start in range(0, len(order), batch):
        who = users[start : start + batch]
        drawn = random.choice(pool, (len(who), negatives))
        for _ in range(_TRIES):
            codes = who[:, None].astype(np.int64) * data.n_items + drawn
            place = np.minimum(np.searchsorted(taken, codes), len(taken) - 1)
            wrong = taken[place] == codes
            if not wrong.any():
                break
            drawn[wrong] = random.choice(pool, int(wrong.sum()))
        yield who, items[start : start + batch], drawn


class RowAdam:
    """Adam on the rows of a table that a batch has touched (Kingma & Ba 2015,
    https://arxiv.org/abs/1412.6980; rows that were not touched keep their moments, "lazy Adam").

    Example:
        table = RowAdam(random.normal(0, 0.1, (n_items, 64)), learning_rate=0.01)
        table.step(items, gradients)          # rows may repeat: their gradients are summed
        table.values[items]
    """

    def __init__(self, values: np.ndarray, *, learning_rate: float) -> None:
        self.values = values.astype(np.float32)
        self._rate = learning_rate
        self._first = np.zeros_like(self.values)
        self._second = np.zeros_like(self.values)
        self._steps = 0

    def step(self, rows: np.ndarray, gradients: np.ndarray) -> None:
        """Moves `rows` [n] against their gradients [n, ...]."""
        touched, places = np.unique(rows, return_inverse=True)
        flat = gradients.reshape(len(rows), -1)
        gather = sparse.csr_matrix(
            (np.ones(len(rows), np.float32), places.ravel(), np.arange(len(rows) + 1)),
            shape=(len(rows), len(touched)),
        )
        summed = (gather.T @ flat).reshape(len(touched), *self.values.shape[1:])
        self._move(touched, summed)

    def step_all(self, gradient: np.ndarray) -> None:
        """Moves the whole table against its gradient."""
        self._move(slice(None), gradient)

    def _move(self, rows: np.ndarray | slice, gradient: np.ndarray) -> None:
        self._steps += 1
        first = 0.9 * self._first[rows] + 0.1 * gradient
        second = 0.999 * self._second[rows] + 0.001 * gradient * gradient
        self._first[rows], self._second[rows] = first, second
        rate = self._rate * np.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        self.values[rows] -= rate * first / (np.sqrt(second) + 1e-8)
