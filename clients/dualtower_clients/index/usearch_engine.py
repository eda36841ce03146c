"""usearch: a graph of near neighbours, over inner products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_clients.index.extras import optional_module
from dualtower_clients.index.graph import EngineKind
from dualtower_clients.index.settings import UsearchBackend

__all__ = ["usearch_kind"]


def usearch_kind(settings: UsearchBackend) -> EngineKind:
    """An engine of usearch.

    Raises:
        UnavailableError: usearch is not installed.
    """
    usearch = optional_module("usearch.index", extra="usearch", purpose="the backend 'usearch'")
    return EngineKind(
        recipe=f"usearch {settings.connectivity} {settings.expansion_add}",
        built=lambda vectors: _built(usearch, settings, vectors),
        restored=lambda content: _UsearchEngine(usearch.Index.restore(content), settings),
    )


class _UsearchEngine:
    """See `dualtower_clients.index.graph.Engine`."""

    def __init__(self, index: Any, settings: UsearchBackend) -> None:
        self._index, self._exact = index, settings.exact
        index.expansion_add = settings.expansion_add  # which its own form does not keep
        index.expansion_search = settings.expansion_search

    def __len__(self) -> int:
        return len(self._index)

    def add(self, vectors: NDArray[np.float32]) -> None:
        first = len(self)
        self._index.add(np.arange(first, first + len(vectors), dtype=np.uint64), vectors)

    def search(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        found = self._index.search(queries, count, exact=self._exact)
        keys = np.full((len(queries), count), -1, np.int64)
        if len(queries) == 1:  # its keys then are those found, without the axis of the batch
            keys[0, : len(found.keys)] = found.keys
            return keys
        is_found = np.arange(count) < found.counts[:, None]
        keys[is_found] = found.keys.astype(np.int64)[is_found]
        return keys

    def to_bytes(self) -> bytes:
        return bytes(self._index.save())


def _built(usearch: Any, settings: UsearchBackend, vectors: NDArray[np.float32]) -> _UsearchEngine:
    index = usearch.Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="f32",
        connectivity=settings.connectivity,
        expansion_add=settings.expansion_add,
    )
    engine = _UsearchEngine(index, settings)
    engine.add(vectors)
    return engine
