"""What a baseline may learn from, and the form of what it becomes.

    TrainingSet ──fit_*──► Scorer: (histories, user codes) ──► float32 [users, items]

Histories are catalogue rows, most recent first. A user code is a row of `TrainingSet.matrix`; -1 is
a person whom the training never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from dualtower_trainer.data import Interactions

__all__ = ["Scorer", "TrainingSet", "history_matrix", "interaction_matrix"]

Scorer = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """A log and the content of its items.

    Attributes:
        log: one row per user and item.
        texts: of the catalogue, one per item.
        content: makes float32 [items, any], a vector of each text by an encoder. Called only by
            the baselines that read it.
        features: float32 [items, width], vectors of another modality, such as of an image; zeros
            where an item has none. None when no item has one.
    """

    log: Interactions
    texts: Sequence[str]
    content: Callable[[], np.ndarray]
    features: np.ndarray | None = None

    @property
    def n_items(self) -> int:
        return len(self.texts)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """Binary float32 [user codes, items]."""
        return interaction_matrix(
            self.log.users, self.log.items, (len(self.log.user_ids), self.n_items)
        )

    @cached_property
    def popularity(self) -> np.ndarray:
        """Users who took each item, float32 [items]."""
        return np.asarray(self.matrix.sum(axis=0), np.float32).ravel()


def interaction_matrix(
    users: np.ndarray, items: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Binary float32 of `shape` from parallel codes; repeated pairs count once."""
    matrix = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def history_matrix(histories: Sequence[np.ndarray], n_items: int) -> sparse.csr_matrix:
    """Histories as rows of a float32 matrix [histories, items]; an item counts as often as it is
    there."""
    lengths = [len(history) for history in histories]
    columns = np.concatenate([*histories, np.empty(0, np.int64)]).astype(np.int64)
    return sparse.csr_matrix(
        (np.ones(len(columns), np.float32), columns, np.concatenate([[0], np.cumsum(lengths)])),
        shape=(len(histories), n_items),
    )
