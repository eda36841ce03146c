"""Is a record fit to be embedded? Pure.

    Record ─► judge ─► Row                  or ─► a reason

Reasons: what could not be read; an id or a text that is missing, no string, no UTF-8, empty or too
long. The wording is without the values, so that reasons can be counted.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence

from dualtower_clients.bulk.records import Record, Row

__all__ = ["MAX_HISTORY_ITEMS", "MAX_ID_BYTES", "Judge", "Unfit", "shown_id"]

MAX_ID_BYTES = 1024
MAX_HISTORY_ITEMS = 10_000
_SHOWN_CHARACTERS = 200


class Unfit(Exception):
    """A record that cannot be embedded; its text is the reason."""


class Judge:
    """Makes rows of records.

    Args:
        id_column, content_column: as the reasons name them.
        is_of_users: whether the content is a history.
        max_text_bytes: of a text, and of a whole history.
    """

    def __init__(
        self, *, id_column: str, content_column: str, is_of_users: bool, max_text_bytes: int
    ) -> None:
        self._id_column = id_column
        self._content_column = content_column
        self._is_of_users = is_of_users
        self._max_text_bytes = max_text_bytes

    def row(self, record: Record) -> Row:
        """The row of a record.

        Raises:
            Unfit: there is none.
        """
        if record.problem:
            raise Unfit(record.problem)
        item_id, id_bytes = _text(record.item_id, self._id_column)
        if not item_id:
            raise Unfit(f"{self._id_column} is empty")
        if id_bytes > MAX_ID_BYTES:
            raise Unfit(f"{self._id_column} is longer than {MAX_ID_BYTES} bytes")
        if self._is_of_users:
            history, size_bytes = self._history(record.content)
            return Row(item_id, history, size_bytes)
        text, size_bytes = _text(record.content, self._content_column)
        if not text.strip():
            raise Unfit(f"{self._content_column} is empty")
        self._check_size(size_bytes)
        return Row(item_id, text, size_bytes)

    def _history(self, value: object) -> tuple[tuple[str, ...], int]:
        if value is None:
            raise Unfit(f"{self._content_column} is null")
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            raise Unfit(f"{self._content_column} is {_kind(value)}, not a list of strings")
        if len(value) > MAX_HISTORY_ITEMS:
            raise Unfit(f"{self._content_column} has more than {MAX_HISTORY_ITEMS} entries")
        entries = [_text(entry, f"an entry of {self._content_column}") for entry in value]
        size_bytes = sum(size for _, size in entries)
        self._check_size(size_bytes)
        return tuple(text for text, _ in entries), size_bytes

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_text_bytes:
            raise Unfit(f"{self._content_column} is longer than {self._max_text_bytes} bytes")


def shown_id(record: Record) -> str | None:
    """The id of a bad record, as far as it can be told."""
    if isinstance(record.item_id, bytes):
        return record.item_id.decode("utf-8", "backslashreplace")[:_SHOWN_CHARACTERS]
    if record.item_id is None:
        return None
    text = str(record.item_id).encode("utf-8", "backslashreplace").decode()
    return text[:_SHOWN_CHARACTERS]


def _text(value: object, what: str) -> tuple[str, int]:
    """A string, and its size in UTF-8."""
    if isinstance(value, bytes):
        raise Unfit(f"{what} is no UTF-8")
    if not isinstance(value, str):
        raise Unfit(f"{what} is {_kind(value)}" + ("" if value is None else ", not a string"))
    if value.isascii():
        return value, len(value)
    try:
        return value, len(value.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Unfit(f"{what} is no UTF-8") from None


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, numbers.Number):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, Sequence) else "an object"
