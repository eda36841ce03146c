"""Search beside the server: the k best items of users, by a backend of `ItemIndex`.

A job: `driver` "index", `bundle`, `variant` ("numpy", "usearch" or "faiss"), `batch_rows` (users
of a call), and optionally `seed`, `history_texts`. k is the recommender's: both give as many.

The users are the bundle's: histories of its catalogue, through its own user tower for LiteRT. What
a backend finds of the truth is measured by `dualtower bench index`, not here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UsageError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.litert_driver import LiteRtTarget, edge_feeds
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.load.workload import DISTINCT_REQUESTS, Workload
from dualtower_clients.index import ItemIndex, SearchResult

__all__ = ["IndexDriver", "open"]

# backend: the package that it is, and the module that shows whether it is there
_PACKAGES = {
    "numpy": ("numpy", "numpy"),
    "usearch": ("usearch", "usearch"),
    "faiss": ("faiss-cpu", "faiss"),
}


_TOLERANCE = 1e-4


class _Client:
    """Searches of an index that all clients share."""

    def __init__(self, index: ItemIndex, users: Sequence[npt.NDArray[np.float32]], k: int) -> None:
        self._index, self._users, self._k = index, users, k

    def call(self, index: int) -> str:
        self.found(index)
        return OK

    def found(self, index: int) -> list[SearchResult]:
        return self._index.search(self._users[index % len(self._users)], self._k)


class IndexDriver:
    """An index with users to search for."""

    def __init__(
        self,
        index: ItemIndex,
        users: Sequence[npt.NDArray[np.float32]],
        k: int,
        items: npt.NDArray[np.float32],
        facts: Mapping[str, Any],
    ) -> None:
        self._index, self._users, self._k, self._facts = index, users, k, facts
        self._items = items

    def connect(self) -> _Client:
        return _Client(self._index, self._users, self._k)

    def check(self) -> None:
        """Holds that each user gets k different items, the best first, with their true scores."""
        found = self.connect().found(0)
        for user, result in zip(self._users[0], found, strict=True):
            scores, true = np.asarray(result.scores), np.sort(self._items @ user)
            near = true[np.clip(np.searchsorted(true, scores - _TOLERANCE), 0, len(true) - 1)]
            wrong = ""
            if len(set(result.item_ids)) != self._k:
                wrong = f"{len(set(result.item_ids))} different items"
            elif not (np.diff(scores) <= 0).all():
                wrong = "them out of order"
            elif not np.allclose(near, scores, atol=2 * _TOLERANCE):
                wrong = "scores that are no item's"
            if wrong:
                raise BundleError(f"a search for {self._k} items found {wrong}")

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)

    def close(self) -> None:
        self._index.close()


def open(job: Mapping[str, Any]) -> IndexDriver:
    """Builds the index of a job's backend.

    Raises:
        UsageError: no such backend.
        NotHere: it is not installed, or the bundle has no file that makes user vectors.
    """
    backend = job.get("variant") or "numpy"
    if backend not in _PACKAGES:
        raise UsageError(f"variant of index is one of {', '.join(_PACKAGES)}, got {backend!r}")
    package, module = _PACKAGES[backend]
    if importlib.util.find_spec(module) is None:
        raise NotHere(f"{backend} is not installed: pip install 'dualtower[{backend}]'")
    bundle = Bundle.open(Path(job["bundle"]))
    workload = Workload.of_job(bundle, job)
    vectors, variant = _user_vectors(bundle, workload)
    generator = np.random.default_rng([workload.seed, 5])
    rows = generator.integers(0, len(vectors), (DISTINCT_REQUESTS, job["batch_rows"]))
    index = ItemIndex.open(bundle, backend)
    k = min(int(bundle.manifest.get("k_max", 10)), len(index))
    return IndexDriver(
        index,
        [vectors[row] for row in rows],
        k,
        workload.vectors,
        {
            "device": "CPU",
            "backend": backend,
            "backend_version": metadata.version(package),
            "k": k,
            "items": len(index),
            "dim": index.dim,
            "users_by": f"user_tower {variant}",
        },
    )


def _user_vectors(bundle: Bundle, workload: Workload) -> tuple[npt.NDArray[np.float32], str]:
    """float32 [DISTINCT_REQUESTS, dim] and the variant of the user tower that made them."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise NotHere("the users' vectors need LiteRT: pip install 'dualtower[edge]'")
    towers = [e for e in bundle.manifest.get("variants", []) if e["tower"] == "user_tower"]
    if not towers:
        raise NotHere("the bundle has no user tower for LiteRT, which makes the users' vectors")
    entry = next((e for e in towers if e["variant"] == "float32"), towers[0])
    feeds = edge_feeds(entry, bundle, workload)
    target = LiteRtTarget(bundle.path / entry["file"], feeds, threads=1)
    vectors = np.concatenate([target.embed(place) for place in range(len(feeds))])
    return vectors.astype(np.float32), entry["variant"]
