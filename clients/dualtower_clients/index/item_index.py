"""Search beside the server: the catalogue of a bundle, with items of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from dualtower.bundle import Bundle
from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients.index.bundle_items import read_bundle_items
from dualtower_clients.index.checks import (
    read_exclude,
    read_ids,
    read_items,
    read_k,
    read_text,
    read_vectors,
)
from dualtower_clients.index.filters import Filter, read_filter
from dualtower_clients.index.graph import EngineKind
from dualtower_clients.index.index_file import IndexFile, Saved, write_index_file
from dualtower_clients.index.results import SearchResult
from dualtower_clients.index.settings import (
    Backend,
    FaissBackend,
    MilvusBackend,
    NumpyBackend,
    UsearchBackend,
    backend_of,
)
from dualtower_clients.index.store import Store
from dualtower_clients.index.table_store import TableStore
from dualtower_clients.results import Embeddings

__all__ = ["ItemIndex"]


class ItemIndex:
    """Finds the items whose vectors are nearest to a query's, in one embedding space.

    It starts from the catalogue of a bundle, without the items that the bundle blocks. Items can be
    added and removed; `save` keeps what came of it, and `open` reads that as well as a bundle.

    A score is the dot product, which for vectors of unit length is the cosine. Of equal scores the
    item that comes first in the catalogue is first; added items come last. The backend "numpy" is
    exact. The others look at the most promising items only, and score these exactly; where they
    find too few, all items are read.

    Vectors carry the fingerprint of their bundle when they come from a client; with those of
    another bundle nothing is searched and nothing is added.

    Threads may share an index; searches go on while items are added and removed. Each change copies
    the table of items, so many are best given at once; usearch and faiss hold the vectors a second
    time, and build their index anew when most of its vectors were removed or replaced.

    Example:
        with (
            Recommender("localhost:8500") as recommender,
            ItemIndex.open("bundle", backend="faiss") as index,
        ):
            users = recommender.embed_users([["salted butter 250 g", "rye bread"]])
            for found in index.search(users, 10, filter={"category": "dairy"}):
                found.item_ids, found.scores
    """

    def __init__(self, store: Store, *, fingerprint: str, dim: int) -> None:
        self._opened: Store | None = store
        self._fingerprint, self._dim = fingerprint, dim

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | Bundle,
        backend: str | Backend = "numpy",
        *,
        expect_fingerprint: str | None = None,
    ) -> ItemIndex:
        """Opens the catalogue of a bundle, or an index that was saved.

        Args:
            path: the bundle's folder, whose Parquet needs pyarrow; or a saved index, which needs
                numpy alone.
            backend: "numpy", "usearch", "faiss" or one's settings, see
                `dualtower_clients.index.settings`; of Milvus `MilvusBackend(uri=...)`.
            expect_fingerprint: of the bundle that the caller holds; another one is refused.

        Raises:
            BundleError: neither a bundle nor an index is there, or it was changed or damaged.
            BundleMismatch: it is of another bundle than the caller expects.
            UnavailableError: a package is not installed, or Milvus does not answer.
            UsageError: there is no such backend, or its settings do not fit the items.
        """
        settings = backend_of(backend)
        source = _source(path)
        if expect_fingerprint not in (None, source.fingerprint):
            raise BundleMismatch(
                expected=f"{expect_fingerprint} (the caller's)",
                found=f"{source.fingerprint} (the index's)",
                where=source.name,
                repair="open the bundle that the server serves, or serve this one with "
                "`dualtower serve BUNDLE`",
            )
        if isinstance(settings, MilvusBackend):
            from dualtower_clients.index.milvus_store import MilvusStore

            store: Store = MilvusStore.opened(
                settings,
                fingerprint=source.fingerprint,
                dim=source.dim,
                fill=lambda: source.read("").items,
            )
        else:
            kind = _engine_kind(settings)
            store = TableStore(source.read(kind.recipe if kind else ""), kind)
        return cls(store, fingerprint=source.fingerprint, dim=source.dim)

    @property
    def fingerprint(self) -> str:
        """Of the bundle that the vectors belong to."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, item_id: object) -> bool:
        store = self._store
        try:
            return bool(store.known([read_text(item_id, "an id")]))
        except UsageError:
            return False  # what is no id is not here

    def search(
        self,
        vectors: NDArray[np.float32] | Embeddings,
        k: int = 10,
        *,
        exclude: Sequence[Collection[str]] | None = None,
        filter: Filter | None = None,
    ) -> list[SearchResult]:
        """The best items for each query.

        Args:
            vectors: float32 [n, dim], or what a client's `embed_users` and `embed_items` return.
            k: how many for each; where fewer may be found, the result is shorter.
            exclude: for each query ids that must not be found; unknown ones do no harm.
            filter: for all queries the ids that may be found, {"category": ...} with one category
                or several, or a function of item_id and category, which is asked for every item.

        Returns:
            A result for each query.

        Raises:
            BundleMismatch: the embeddings are of another bundle than the index.
            UsageError: the vectors, k, the ids or the filter cannot be used.
        """
        store = self._store
        queries = read_vectors(vectors, dim=self._dim, fingerprint=self._fingerprint)
        k, keep = read_k(k), read_filter(filter)
        barred = read_exclude(exclude, rows=len(queries))
        return store.search(queries, k, barred, keep) if len(queries) else []

    def add(
        self,
        item_ids: Sequence[str],
        vectors: NDArray[np.float32] | Embeddings,
        *,
        categories: Sequence[str] | None = None,
        replace: bool = False,
    ) -> None:
        """Adds items behind the ones that are here.

        Args:
            item_ids: an id for each item, each once.
            vectors: float32 [n, dim], or what `embed_items` returns.
            categories: one for each item, "" for none.
            replace: an item that is here gets the new vector and category, in its old place.
                Without it such an item is an error, and nothing is added.

        Raises:
            BundleMismatch: the embeddings are of another bundle than the index.
            UsageError: ids are there twice or already here, or the vectors cannot be used.
        """
        store = self._store
        rows = read_vectors(vectors, dim=self._dim, fingerprint=self._fingerprint)
        items = read_items(item_ids, rows, categories)
        if len(items):
            store.put(items, replace=replace)

    def remove(self, item_ids: Sequence[str]) -> None:
        """Takes items out.

        Raises:
            UsageError: an id is not here, or given twice; nothing was removed.
        """
        store = self._store
        if ids := read_ids(item_ids):
            store.remove(ids)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index as one file, whole or not at all; a file of that name is replaced.

        Any backend opens it. What usearch or faiss built is kept, so that opening is quick.
        """
        write_index_file(Path(path), self._store.saved(), fingerprint=self._fingerprint)

    def close(self) -> None:
        """Ends the connection to Milvus, or lets go of the items; nothing works after it."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def _store(self) -> Store:
        if self._opened is None:
            raise UsageError("this index was closed; open it again with ItemIndex.open")
        return self._opened

    def __enter__(self) -> ItemIndex:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Source:
    """What an index starts from; its items are read when they are needed."""

    name: str
    fingerprint: str
    dim: int
    read: Callable[[str], Saved]  # from the recipe of an engine that may come along


def _source(path: str | os.PathLike[str] | Bundle) -> _Source:
    if not isinstance(path, Bundle):
        if Path(path).is_file():
            file = IndexFile.open(path)
            return _Source(
                str(path), file.fingerprint, file.dim, lambda recipe: file.read(recipe=recipe)
            )
        path = Bundle.open(path)
    bundle = path
    return _Source(
        str(bundle.path),
        bundle.fingerprint,
        bundle.dim,
        lambda _: Saved(read_bundle_items(bundle)),
    )


def _engine_kind(settings: NumpyBackend | UsearchBackend | FaissBackend) -> EngineKind | None:
    """The engine that the settings ask for; None where all rows are ranked."""
    if isinstance(settings, UsearchBackend):
        from dualtower_clients.index.usearch_engine import usearch_kind

        return usearch_kind(settings)
    if isinstance(settings, FaissBackend):
        from dualtower_clients.index.faiss_engine import faiss_kind

        return faiss_kind(settings)
    return None
