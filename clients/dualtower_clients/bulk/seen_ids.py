"""Which ids came already: an index on the disk, so that memory does not grow with them.

An id is remembered with the place of the row that had it first. A run that reads a part of the
input again therefore comes to the same answers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dualtower.errors import UnavailableError

__all__ = ["SeenIds"]

_CACHE_KIB = 16 * 1024


class SeenIds:
    """An index of ids in a file of SQLite's.

    Args:
        path: of the file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._errors():
            self._index = sqlite3.connect(path, isolation_level=None)
            self._index.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._index.execute("PRAGMA synchronous = FULL")
            self._index.execute(
                "CREATE TABLE IF NOT EXISTS seen "
                "(item_id TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID"
            )
            self._index.execute("BEGIN")

    def add(self, ids: Sequence[tuple[str, int]]) -> set[int]:
        """Takes in ids and their places; returns those places whose id another place had first."""
        with self._errors():
            before = self._index.total_changes
            self._index.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", ids)
            if self._index.total_changes - before == len(ids):
                return set()
            return {place for item_id, place in ids if self._place(item_id) != place}

    def commit(self) -> None:
        """What was added is on the disk when this returns."""
        with self._errors():
            self._index.execute("COMMIT")
            self._index.execute("BEGIN")

    def close(self) -> None:
        """Ends without a commit."""
        self._index.close()

    def _place(self, item_id: str) -> int:
        query = "SELECT place FROM seen WHERE item_id = ?"
        place: int = self._index.execute(query, (item_id,)).fetchone()[0]
        return place

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UnavailableError(
                f"the index of ids {self._path} cannot be written: {error}; is the disk full "
                f"(`df -h {self._path.parent}`)? Then run the command again"
            ) from error
