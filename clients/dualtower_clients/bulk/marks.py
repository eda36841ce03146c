"""Where in the input each shard begins, so that a run that goes on need not read what lies before.

reading ─► note ─► Marks ─► taken ─► done-file ─► Mark.of ─► reading, from there on

Known of files of lines that are not packed; elsewhere there is no mark, and rows are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Cursor", "Mark", "Marks"]


@dataclass
class Cursor:
    """How far a file of lines is read: the next record begins at this byte, after these lines."""

    offset: int = 0
    line: int = 0


@dataclass(frozen=True)
class Mark:
    """The beginning of a record.

    Attributes:
        file: which one of the inputs, from 0.
        offset: its first byte.
        line: lines of the file before it.
    """

    file: int
    offset: int
    line: int

    @classmethod
    def of(cls, done: Mapping[str, Any]) -> Mark | None:
        """Where the shard after this one begins, if its done-file says so."""
        said = done.get("next_record")
        return None if said is None else cls(said["file"], said["offset"], said["line"])


class Marks:
    """The marks of shards that are read and not yet complete.

    Args:
        shard_rows: rows of the input for each shard.
    """

    def __init__(self, shard_rows: int) -> None:
        self._shard_rows = shard_rows
        self._marks: dict[int, Mark] = {}

    def note(self, place: int, file: int, cursor: Cursor) -> None:
        """The record at this place of the input begins here."""
        if place % self._shard_rows == 0:
            self._marks[place] = Mark(file, cursor.offset, cursor.line)

    def taken(self, place: int) -> dict[str, int] | None:
        """What a done-file says of the shard that begins at this place."""
        mark = self._marks.pop(place, None)
        return None if mark is None else asdict(mark)
