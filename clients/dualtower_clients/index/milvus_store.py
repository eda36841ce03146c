"""Items in Milvus, in a collection that is named by their fingerprint.

    item_id   string, primary key, in `_words`' spelling
    category  string, in the same
    place     int64 that orders ties: the row of the catalogue, or when the item was added
    vector    float32 [dim], under an HNSW index of inner products

A collection is filled under another name and renamed when it is whole. Every search sees what was
written before it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from dualtower.errors import UnavailableError, UsageError
from dualtower_clients.index.checks import refuse_here, refuse_unknown
from dualtower_clients.index.exact import best_rows
from dualtower_clients.index.extras import optional_module
from dualtower_clients.index.filters import InCategories, Keep, WithIds
from dualtower_clients.index.index_file import Saved
from dualtower_clients.index.items import Items
from dualtower_clients.index.results import SearchResult
from dualtower_clients.index.settings import MilvusBackend

__all__ = ["MilvusStore"]

_LONGEST = 65_535  # bytes of a string
_MOST_HITS = 16_384  # for a query
_HITS_AT_A_TIME = 1 << 18  # of all queries of a call
_WRITTEN_BYTES = 8 << 20  # of a call
_IDS_AT_A_TIME = 4_096  # named in a call
_INDEX = {"M": 16, "efConstruction": 128}
_PAGE = 1_000  # rows, with their vectors
_CANDIDATES = 128  # that a search looks at, at least


class _Hit(NamedTuple):
    item_id: str
    score: float
    place: int


class MilvusStore:
    """See `dualtower_clients.index.store.Store`."""

    def __init__(self, settings: MilvusBackend, client: Any, collection: str, dim: int) -> None:
        self._settings, self._client, self._collection = settings, client, collection
        self._dim = dim
        self._changing = threading.Lock()  # what other processes change is not kept apart

    @classmethod
    def opened(
        cls,
        settings: MilvusBackend,
        *,
        fingerprint: str,
        dim: int,
        fill: Callable[[], Items],
    ) -> MilvusStore:
        """The collection of a fingerprint; filled if it is not there.

        Raises:
            UnavailableError: pymilvus is not installed, or Milvus does not answer.
        """
        milvus = optional_module("pymilvus", extra="milvus", purpose="the backend 'milvus'")
        if settings.uri.endswith(".db"):
            optional_module("milvus_lite", extra="milvus", purpose="Milvus Lite")
        with _milvus_errors(settings):
            client = milvus.MilvusClient(
                settings.uri,
                token=settings.token,
                db_name=settings.database,
                timeout=settings.timeout_s,
            )
        store = cls(settings, client, f"{settings.prefix}_{fingerprint}", dim)
        try:
            with _milvus_errors(settings):
                if settings.refill or not client.has_collection(store._collection):
                    store._fill(fill())
                store._make_ready()
        except BaseException:
            client.close()
            raise
        return store

    def __len__(self) -> int:
        return self._count("")

    def known(self, item_ids: Sequence[str]) -> list[str]:
        here = self._places(item_ids)
        return [item_id for item_id in item_ids if item_id in here]

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        exclude: Sequence[Collection[str]],
        keep: Keep | None,
    ) -> list[SearchResult]:
        limit = k + max(map(len, exclude))
        if limit > _MOST_HITS:
            raise UsageError(
                f"Milvus finds at most {_MOST_HITS} items, got k {k} and up to {limit - k} "
                "excluded ids; ask for fewer, or use another backend"
            )
        expression = self._expression(keep)
        if expression is None:
            return [SearchResult((), np.zeros(0, np.float32)) for _ in queries]
        found: list[SearchResult] = []
        at_a_time = max(1, _HITS_AT_A_TIME // limit)
        for start in range(0, len(queries), at_a_time):
            part = slice(start, start + at_a_time)
            hits = self._complete(queries[part], limit, expression)
            found += [
                _result(some, frozenset(ids), k)
                for some, ids in zip(hits, exclude[part], strict=True)
            ]
        return found

    def put(self, items: Items, *, replace: bool) -> None:
        _check_lengths(items)
        item_ids = items.item_ids.tolist()
        with self._changing:
            places = self._places(item_ids)
            if not replace:
                refuse_here([item_id for item_id in item_ids if item_id in places])
            now = time.time_ns()  # beyond the rows of any catalogue
            behind = [places.get(item_id, now + row) for row, item_id in enumerate(item_ids)]
            self._write(self._collection, items, behind)

    def remove(self, item_ids: Sequence[str]) -> None:
        with self._changing:
            here = self._places(item_ids)
            refuse_unknown([item_id for item_id in item_ids if item_id not in here])
            for part in _parts(item_ids, _IDS_AT_A_TIME):
                with _milvus_errors(self._settings):
                    self._client.delete(self._collection, filter=_among("item_id", part))

    def saved(self) -> Saved:
        return Saved(self._items("")[0])

    def close(self) -> None:
        self._client.close()

    def _fill(self, items: Items) -> None:
        """Writes the collection under another name, then gives it its own."""
        _check_lengths(items)
        client, own = self._client, self._collection
        other = f"{own}_filling_{uuid.uuid4().hex[:8]}"
        client.create_collection(
            other, schema=_schema(client, self._dim), consistency_level="Strong"
        )
        try:
            self._write(other, items, range(len(items)))
            client.flush(other)
            if self._settings.refill and client.has_collection(own):
                client.drop_collection(own)
            if not client.has_collection(own):  # else another process was faster
                client.rename_collection(other, own)
        finally:
            if client.has_collection(other):
                client.drop_collection(other)

    def _make_ready(self) -> None:
        """Indexed and loaded, which a collection is not whose filling was cut short there."""
        if not self._client.list_indexes(self._collection):
            wanted = self._client.prepare_index_params()
            wanted.add_index("vector", index_type="HNSW", metric_type="IP", params=_INDEX)
            self._client.create_index(self._collection, wanted)
        self._client.load_collection(self._collection)

    def _write(self, collection: str, items: Items, places: Sequence[int]) -> None:
        at_a_time = max(1, _WRITTEN_BYTES // (4 * items.vectors.shape[1] + 256))
        for start in range(0, len(items), at_a_time):
            part = slice(start, start + at_a_time)
            columns = (items.item_ids[part], items.categories[part], items.vectors[part])
            rows = [
                {
                    "item_id": _words(item_id),
                    "category": _words(category),
                    "vector": vector,
                    "place": place,
                }
                for item_id, category, vector, place in zip(*columns, places[part], strict=True)
            ]
            with _milvus_errors(self._settings):
                self._client.upsert(collection, rows, timeout=self._settings.timeout_s)

    def _complete(
        self, queries: NDArray[np.float32], limit: int, expression: str
    ) -> list[list[_Hit]]:
        """The best hits; where the graph gives fewer than there are, of all items."""
        hits = self._hits(queries, limit, expression)
        count = min(map(len, hits))
        if count == limit or count == min(limit, self._count(expression)):
            return hits
        items, places = self._items(expression)
        nothing = np.zeros(0, np.int64)
        best = best_rows(
            items.vectors, queries, limit, [nothing] * len(queries), longest=items.longest
        )
        return [
            [
                _Hit(items.item_ids[row], float(score), places[row])
                for row, score in zip(rows, scores, strict=True)
            ]
            for rows, scores in best
        ]

    def _hits(self, queries: NDArray[np.float32], limit: int, expression: str) -> list[list[_Hit]]:
        with _milvus_errors(self._settings):
            found = self._client.search(
                self._collection,
                data=list(queries),
                anns_field="vector",
                filter=expression,
                limit=limit,
                output_fields=["place"],
                search_params={"metric_type": "IP", "params": {"ef": max(_CANDIDATES, limit)}},
                timeout=self._settings.timeout_s,
            )
        return [
            [_Hit(_text(hit["item_id"]), hit["distance"], hit["entity"]["place"]) for hit in one]
            for one in found
        ]

    def _items(self, expression: str) -> tuple[Items, Sequence[int]]:
        """Items and their places, by place."""
        fields = ["place", "category", "vector"]
        rows = [row for page in self._pages(fields, expression) for row in page]
        rows.sort(key=lambda row: row["place"])
        items = Items.of(
            [_text(row["item_id"]) for row in rows],
            [_text(row["category"]) for row in rows],
            np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), self._dim),
        )
        return items, [row["place"] for row in rows]

    def _places(self, item_ids: Sequence[str]) -> dict[str, int]:
        """The places of those of the ids that are here."""
        places: dict[str, int] = {}
        for part in _parts(item_ids, _IDS_AT_A_TIME):
            rows = self._query(_among("item_id", part), ["item_id", "place"])
            places |= {_text(row["item_id"]): row["place"] for row in rows}
        return places

    def _count(self, expression: str) -> int:
        return int(self._query(expression, ["count(*)"])[0]["count(*)"])

    def _query(self, expression: str, fields: Sequence[str]) -> Sequence[Any]:
        with _milvus_errors(self._settings):
            rows: Sequence[Any] = self._client.query(
                self._collection,
                filter=expression,
                output_fields=list(fields),
                timeout=self._settings.timeout_s,
            )
        return rows

    def _pages(self, fields: Sequence[str], expression: str = "") -> Iterator[Sequence[Any]]:
        """All items that an expression leaves, page by page."""
        with _milvus_errors(self._settings):
            pages = self._client.query_iterator(
                self._collection,
                batch_size=_PAGE,
                filter=expression,
                output_fields=["item_id", *fields],
            )
            try:
                while page := pages.next():
                    yield page
            finally:
                pages.close()

    def _expression(self, keep: Keep | None) -> str | None:
        """The filter in Milvus's language; None where it leaves nothing."""
        if keep is None:
            return ""
        if isinstance(keep, InCategories):
            return _among("category", sorted(keep.categories)) if keep.categories else None
        if isinstance(keep, WithIds):
            item_ids = sorted(keep.item_ids)
        else:
            rows = (row for page in self._pages(["category"]) for row in page)
            pairs = ((_text(row["item_id"]), _text(row["category"])) for row in rows)
            item_ids = [item_id for item_id, category in pairs if keep(item_id, category)]
        return _among("item_id", item_ids) if item_ids else None


def _schema(client: Any, dim: int) -> Any:
    kinds = optional_module("pymilvus", extra="milvus", purpose="the backend 'milvus'").DataType
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("item_id", kinds.VARCHAR, is_primary=True, max_length=_LONGEST)
    schema.add_field("category", kinds.VARCHAR, max_length=_LONGEST)
    schema.add_field("place", kinds.INT64)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
    return schema


def _result(hits: Sequence[_Hit], barred: frozenset[str], k: int) -> SearchResult:
    """The k best of a query's hits, of equal scores the lower place first."""
    order = sorted(hits, key=lambda hit: (-hit.score, hit.place))
    kept = [hit for hit in order if hit.item_id not in barred][:k]
    scores = np.array([hit.score for hit in kept], np.float32)
    return SearchResult(tuple(hit.item_id for hit in kept), scores)


def _words(text: str) -> str:
    """A text without what means something in Milvus's expressions, such as quotes.

    milvus-io/pymilvus writes keys into expressions as they are, for its own pages too.
    """
    return quote(text, safe=" /:@+,;=|#!?()[]")


def _text(words: str) -> str:
    return unquote(words)


def _among(field: str, texts: Sequence[str]) -> str:
    quoted = ", ".join(f'"{_words(text)}"' for text in texts)
    return f"{field} in [{quoted}]"


def _parts(texts: Sequence[str], at_a_time: int) -> Iterator[Sequence[str]]:
    return (texts[start : start + at_a_time] for start in range(0, len(texts), at_a_time))


def _check_lengths(items: Items) -> None:
    for text in (*items.item_ids, *items.categories):
        if 12 * len(text) > _LONGEST and len(_words(text)) > _LONGEST:
            raise UsageError(
                f"Milvus holds strings of at most {_LONGEST} bytes, got {len(text)} characters "
                f"that begin with {text[:40]!r}; shorten the id, or use another backend"
            )


@contextmanager
def _milvus_errors(settings: MilvusBackend) -> Iterator[None]:
    """Turns Milvus's errors into one that says where."""
    exceptions = optional_module("pymilvus.exceptions", extra="milvus", purpose="Milvus")
    try:
        yield
    except exceptions.MilvusException as error:
        raise UnavailableError(
            f"Milvus at {settings.uri} failed: {error.message or error}; check that it runs there "
            "and that no other process has its file open"
        ) from error
