"""One row of a source, whatever it was written in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Record", "RowSource", "bad_characters", "first_line"]


class Record(NamedTuple):
    """One row: the wanted fields as text ("" for null), or the problem that makes it unusable."""

    line: int
    fields: list[str]
    problem: str
    raw: str


class RowSource(Protocol):
    """A file of rows with named columns, to be read as often as one likes."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def records(self, columns: Sequence[str]) -> Iterator[Record]:
        """Every row, with the fields of `columns` in this order."""


def bad_characters(fields: list[str]) -> str:
    """Why the characters of these fields cannot be used; "" when they can.

    Bytes that were no UTF-8 have become lone surrogates, which encode to nothing.
    """
    for field in fields:
        if "\0" in field:
            return "NUL byte"
        if not field.isascii():
            try:
                field.encode()
            except UnicodeEncodeError:
                return "not UTF-8"
    return ""


def first_line(error: BaseException) -> str:
    """What an error of another library says, without the rest of its page."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
