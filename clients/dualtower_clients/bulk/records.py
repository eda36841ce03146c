"""What the readers give and what is made of it: records, good rows, bad rows. Plain values."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OTHER_COLUMN", "Bad", "Columns", "Record", "Row"]

OTHER_COLUMN = "; name it by --id-column, --text-column or --history-column"


class Columns(NamedTuple):
    """The two columns that are read."""

    item_id: str
    content: str


class Record(NamedTuple):
    """A row as it was read; nothing is known of its values yet.

    Attributes:
        line: in its file, from 1: of lines, or of Parquet's rows. Of a CSV record its last line.
        item_id, content: as the file has them; text that is no UTF-8 as bytes.
        problem: why the row could not be read at all; "" where it could.
    """

    line: int
    item_id: object
    content: object
    problem: str = ""


class Row(NamedTuple):
    """A row that can be embedded; `content` is a text, or a history as a tuple of texts."""

    item_id: str
    content: str | tuple[str, ...]
    size_bytes: int


class Bad(NamedTuple):
    """A row that is put aside, with the reason."""

    file: str
    line: int
    item_id: str | None
    reason: str
