"""The exact lists of all people, in float64 and in bounded memory: blocks of items, one by one.

Of each block only what scores above the k-th best so far is kept, so that the memory is that of a
block's scores, whatever the number of items.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualtower.files import atomic_file
from dualtower_benchmarks.index.catalogue import Catalogue

__all__ = ["Truth", "best_rows", "true_lists"]

_BLOCK = 32_768


@dataclass(frozen=True)
class Truth:
    """Rows of the best items, best first.

    Attributes:
        best: int64 [users, k].
        unseen: int64 [users, k], without what each person has taken.
    """

    best: NDArray[np.int64]
    unseen: NDArray[np.int64]


def true_lists(catalogue: Catalogue, k: int, path: Path) -> Truth:
    """Both lists, kept in a file: one that is there is read.

    Args:
        k: length of a list; there are more items than k and those taken.
    """
    if not path.exists():
        most = min(k + catalogue.seen.shape[1], len(catalogue.tastes))
        rows = best_rows(catalogue.tastes, catalogue.users, most)
        unseen = [
            mine[~np.isin(mine, seen)][:k] for mine, seen in zip(rows, catalogue.seen, strict=True)
        ]
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, best=rows[:, :k], unseen=_ragged(unseen, k))
    with np.load(path) as found:
        return Truth(found["best"], found["unseen"])


def best_rows(
    tastes: NDArray[np.float32], users: NDArray[np.float32], k: int, *, block: int = _BLOCK
) -> NDArray[np.int64]:
    """int64 [users, k]: rows of the largest inner products, of equal ones the lower row first."""
    people = np.asarray(users, np.float64)
    rows = np.empty((len(people), 0), np.int64)
    scores = np.empty((len(people), 0), np.float64)
    for start in range(0, len(tastes), block):
        part = np.asarray(tastes[start : start + block], np.float64)
        new = people @ part.T
        if scores.shape[1] == k:
            floor = scores[:, -1:]
            columns = np.flatnonzero((new > floor).any(axis=0))
        else:
            columns = np.arange(len(part))
        scores = np.concatenate([scores, new[:, columns]], axis=1)
        numbers = np.broadcast_to(start + columns, (len(people), len(columns)))
        rows = np.concatenate([rows, numbers], axis=1)
        # stable: rows stand in ascending order where scores are equal
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return rows


def _ragged(lists: list[NDArray[np.int64]], k: int) -> NDArray[np.int64]:
    """int64 [users, k]; -1, which no engine finds, where a catalogue has no further item."""
    return np.array([np.pad(one, (0, k - len(one)), constant_values=-1) for one in lists])
