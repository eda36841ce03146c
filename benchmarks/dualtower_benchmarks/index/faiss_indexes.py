"""faiss on the CPU, over inner products: flat, inverted lists, a graph.

The flat index has the thresholds of its BLAS path set to what is fastest: as shipped it takes
batches of 20 and more in blocks of 1,024 rows. Inverted lists are made of whole embeddings, tastes
filled up to length 1, as ours are: among 30,000 items nprobe 64 then finds .97 instead of .93. A
graph finds less among those (.52 instead of .85 at ef 400), and has tastes alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from dualtower_benchmarks.index.catalogue import Catalogue, with_rest
from dualtower_benchmarks.index.engines import ENGINES, LISTS

__all__ = ["build", "open"]

_BLAS_FROM_USERS = 20
_BLAS_BLOCK_ROWS = 4096


def build(catalogue: Catalogue, path: Path, job: dict[str, Any]) -> None:
    """Trains where there is something to train, adds all items, and writes faiss' own file."""
    faiss.omp_set_num_threads(job["threads"])
    vectors = np.asarray(catalogue.tastes)
    if ENGINES[job["engine"]].kind == LISTS:
        vectors = with_rest(vectors)
    index = _index(vectors.shape[1], job)
    if not index.is_trained:
        index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(path))


def _index(dim: int, job: dict[str, Any]) -> Any:
    engine = job["engine"]
    if engine == "faiss_hnsw":
        index = faiss.IndexHNSWFlat(dim, job["connectivity"], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = job["expansion_add"]
        return index
    factory = {"faiss_flat": "Flat", "faiss_ivf_flat": "IVF{},Flat", "faiss_ivf_sq8": "IVF{},SQ8"}
    made = factory[engine].format(job["lists"])
    return faiss.index_factory(dim, made, faiss.METRIC_INNER_PRODUCT)


class _Faiss:
    """See `searcher.Searcher`."""

    version = f"faiss {faiss.__version__}"

    def __init__(self, index: Any, k: int) -> None:
        self._index, self._k = index, k
        self._lists = faiss.try_extract_index_ivf(index)

    def asked(self, users: NDArray[np.float32], seen: NDArray[np.int32]) -> NDArray[np.float32]:
        del seen
        return np.pad(users, [(0, 0), (0, self._index.d - users.shape[1])])

    def search(self, asked: NDArray[np.float32], effort: int) -> Any:
        if self._lists is not None:
            self._lists.nprobe = effort
        elif effort:
            self._index.hnsw.efSearch = effort
        return self._index.search(asked, self._k)[1]

    def rows(self, answer: Any) -> list[list[int]]:
        return [[row for row in one if row >= 0] for one in answer.tolist()]


def open(path: Path, job: dict[str, Any]) -> _Faiss:
    """Reads the file into memory."""
    faiss.omp_set_num_threads(job["threads"])
    faiss.cvar.distance_compute_blas_threshold = _BLAS_FROM_USERS
    faiss.cvar.distance_compute_blas_database_bs = _BLAS_BLOCK_ROWS
    return _Faiss(faiss.read_index(str(path)), job["k"])
