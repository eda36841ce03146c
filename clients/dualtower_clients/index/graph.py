"""An engine that finds near vectors fast and not surely, and which items its vectors are.

An engine only grows. Its vectors have numbers, counted up; an item that is removed or replaced
leaves its number behind, which then is nobody's. So a search that runs on while items change still
sees one state of them: numbers that it does not know are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dualtower_clients.index.index_file import Saved
from dualtower_clients.index.shared_lock import SharedLock

__all__ = ["Engine", "EngineKind", "Graph"]


class Engine(Protocol):
    """Vectors by number. Searches may run at the same time, but not beside `add`."""

    def __len__(self) -> int: ...

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Gives the vectors [n, dim] the next n numbers."""
        ...

    def search(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Numbers of near vectors, [queries, count]; -1 where none was found."""
        ...

    def to_bytes(self) -> bytes:
        """What the engine can be made from again."""
        ...


@dataclass(frozen=True)
class Graph:
    """One state of the items over an engine that states share.

    Attributes:
        engine: of the vectors.
        lock: held by whoever asks or feeds the engine.
        keys: int64 [n], the number of each item.
        row_of_key: int64, the item of each number; -1 where it is nobody's.
    """

    engine: Engine
    lock: SharedLock
    keys: NDArray[np.int64]
    row_of_key: NDArray[np.int64]

    @classmethod
    def of(
        cls, engine: Engine, keys: NDArray[np.int64], *, lock: SharedLock | None = None
    ) -> Graph:
        """The items with these numbers."""
        row_of_key = np.full(len(engine), -1, np.int64)
        row_of_key[keys] = np.arange(len(keys))
        return cls(engine, lock or SharedLock(), keys, row_of_key)

    @property
    def share(self) -> float:
        """The part of the engine's vectors that are items."""
        return len(self.keys) / max(1, len(self.row_of_key))

    def rows(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Rows of near items, [queries, count]; -1 where none was found."""
        with self.lock.shared():
            keys = self.engine.search(queries, count)
        known = (keys >= 0) & (keys < len(self.row_of_key))
        return np.where(known, self.row_of_key[np.where(known, keys, 0)], -1)

    def put(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> Graph:
        """With other vectors for `rows`, of which those behind the last row are new."""
        with self.lock.alone():
            first = len(self.engine)
            self.engine.add(vectors)
        keys = np.resize(self.keys, max(len(self.keys), int(rows.max()) + 1))
        keys[rows] = np.arange(first, first + len(rows))
        return Graph.of(self.engine, keys, lock=self.lock)

    def taken(self, rows: NDArray[np.int64]) -> Graph:
        """Of these items alone."""
        return Graph.of(self.engine, self.keys[rows], lock=self.lock)


@dataclass(frozen=True)
class EngineKind:
    """How an engine is made.

    Attributes:
        recipe: names backend and settings; an engine of the same recipe need not be built.
        built: from vectors [n, dim].
        restored: from an engine's bytes.
    """

    recipe: str
    built: Callable[[NDArray[np.float32]], Engine]
    restored: Callable[[bytes], Engine]

    def graph(self, saved: Saved) -> Graph:
        """Over the saved items; built unless they bring their engine along."""
        if saved.engine and saved.engine.recipe == self.recipe:
            return Graph.of(self.restored(saved.engine.content), saved.engine.keys)
        return Graph.of(self.built(saved.items.vectors), np.arange(len(saved.items)))
