"""faiss: any index of its factory, over inner products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower.errors import UsageError
from dualtower_clients.index.extras import optional_module
from dualtower_clients.index.graph import EngineKind
from dualtower_clients.index.settings import FaissBackend

__all__ = ["faiss_kind"]

_CANDIDATES = 128  # that a graph's search looks at
_LISTS_PART = 8  # of inverted lists, the part that is read
_LEAST_LISTS = 16


def faiss_kind(settings: FaissBackend) -> EngineKind:
    """An engine of faiss.

    Raises:
        UnavailableError: faiss is not installed.
    """
    faiss = optional_module("faiss", extra="faiss", purpose="the backend 'faiss'")
    return EngineKind(
        recipe=f"faiss {settings.factory}",
        built=lambda vectors: _FaissEngine(faiss, _built(faiss, settings, vectors), settings),
        restored=lambda content: _FaissEngine(
            faiss, faiss.deserialize_index(np.frombuffer(content, np.uint8)), settings
        ),
    )


class _FaissEngine:
    """See `dualtower_clients.index.graph.Engine`."""

    def __init__(self, faiss: Any, index: Any, settings: FaissBackend) -> None:
        self._faiss, self._index = faiss, index
        wanted = settings.search or _default_search(faiss, index, settings)
        try:
            if wanted:
                faiss.ParameterSpace().set_index_parameters(index, wanted)
        except RuntimeError as error:
            raise UsageError(
                f"faiss cannot search {settings.factory!r} with {wanted!r}: {_reason(error)}"
            ) from error

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: NDArray[np.float32]) -> None:
        self._index.add(vectors)

    def search(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        keys: NDArray[np.int64] = self._index.search(queries, count)[1]
        return keys

    def to_bytes(self) -> bytes:
        return bytes(self._faiss.serialize_index(self._index))


def _built(faiss: Any, settings: FaissBackend, vectors: NDArray[np.float32]) -> Any:
    """The index of vectors [n, dim], which inverted lists are also trained on."""
    try:
        index = faiss.index_factory(vectors.shape[1], settings.factory, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            index.train(vectors)
        index.add(vectors)
    except RuntimeError as error:
        raise UsageError(
            f"faiss cannot build {settings.factory!r} of {len(vectors)} vectors: {_reason(error)}"
        ) from error
    return index


def _default_search(faiss: Any, index: Any, settings: FaissBackend) -> str:
    if lists := faiss.try_extract_index_ivf(index):
        return f"nprobe={max(_LEAST_LISTS, lists.nlist // _LISTS_PART)}"
    return f"efSearch={_CANDIDATES}" if "HNSW" in settings.factory else ""


def _reason(error: RuntimeError) -> str:
    """faiss's own words, without the place in its source."""
    return str(error).rpartition(": ")[2].strip()
