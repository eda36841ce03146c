"""One row of a source, whatever it was written in."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Record", "bad_characters", "first_line"]


class Record(NamedTuple):
    """One row: the wanted fields as text ("" for null), or the problem that makes it unusable."""

    line: int
    fields: list[str]
    problem: str
    raw: str


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
