"""The clients' `ItemIndex` with its exact backend, from a file that `save` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_benchmarks.index.catalogue import Catalogue
from dualtower_clients.index import ItemIndex, SearchResult

__all__ = ["build", "open"]

_FINGERPRINT = "0" * 64  # of no bundle


def build(catalogue: Catalogue, path: Path, job: dict[str, Any]) -> None:
    """Writes the file."""
    from dualtower_clients.index.index_file import Saved
    from dualtower_clients.index.items import Items
    from dualtower_clients.index.table_store import TableStore

    del job
    count, dim = catalogue.tastes.shape
    item_ids = [str(row) for row in range(count)]
    items = Items.of(item_ids, [""] * count, np.asarray(catalogue.tastes))
    ItemIndex(TableStore(Saved(items), None), fingerprint=_FINGERPRINT, dim=dim).save(path)


class _Exact:
    """See `searcher.Searcher`."""

    version = f"numpy {np.__version__}"

    def __init__(self, path: Path, k: int) -> None:
        self._index, self._k = ItemIndex.open(path, "numpy"), k

    def asked(self, users: NDArray[np.float32], seen: NDArray[np.int32]) -> NDArray[np.float32]:
        del seen
        return users

    def search(self, asked: NDArray[np.float32], effort: int) -> list[SearchResult]:
        del effort
        return self._index.search(asked, self._k)

    def rows(self, answer: list[SearchResult]) -> list[list[int]]:
        return [[int(item) for item in one.item_ids] for one in answer]


def open(path: Path, job: dict[str, Any]) -> _Exact:
    """Reads the file."""
    return _Exact(path, job["k"])
