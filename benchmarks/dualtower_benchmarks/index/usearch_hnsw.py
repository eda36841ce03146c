"""usearch' graph over inner products, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import usearch.index
from numpy.typing import NDArray

from dualtower_benchmarks.index.catalogue import Catalogue

__all__ = ["build", "open"]


def build(catalogue: Catalogue, path: Path, job: dict[str, Any]) -> None:
    """Writes usearch' own file."""
    count, dim = catalogue.tastes.shape
    index = usearch.index.Index(
        ndim=dim, metric="ip", dtype="f32",
        connectivity=job["connectivity"], expansion_add=job["expansion_add"],
    )  # fmt: skip
    keys = np.arange(count, dtype=np.uint64)
    index.add(keys, np.asarray(catalogue.tastes), threads=job["threads"])
    index.save(str(path))


class _Graph:
    """See `searcher.Searcher`."""

    version = f"usearch {usearch.__version__}"

    def __init__(self, index: Any, k: int, threads: int) -> None:
        self._index, self._k, self._threads = index, k, threads

    def asked(self, users: NDArray[np.float32], seen: NDArray[np.int32]) -> NDArray[np.float32]:
        del seen
        return users

    def search(self, asked: NDArray[np.float32], effort: int) -> Any:
        self._index.expansion_search = effort
        return self._index.search(asked, self._k, threads=self._threads)

    def rows(self, answer: Any) -> list[list[int]]:
        keys = np.atleast_2d(answer.keys)  # of one user without the axis of the batch
        counts = np.atleast_1d(getattr(answer, "counts", [keys.shape[1]]))
        return [row[:count].astype(int).tolist() for row, count in zip(keys, counts, strict=True)]


def open(path: Path, job: dict[str, Any]) -> _Graph:
    """Loads the file into memory."""
    index = usearch.index.Index.restore(str(path))
    return _Graph(index, job["k"], job["threads"])
