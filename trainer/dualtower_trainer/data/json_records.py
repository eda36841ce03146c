"""Objects out of JSON Lines files, one to a line, plain or gzipped."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dualtower.errors import DataError
from dualtower_trainer.data.record import Record, bad_characters
from dualtower_trainer.data.text_lines import MAX_LINE_CHARS, numbered_lines

__all__ = ["JSON_SUFFIXES", "JsonLines", "JsonObject", "json_columns", "json_objects", "json_text"]

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_HEAD_ROWS = 1000  # a key that occurs later only must be named with a column map of a known file


class JsonObject(NamedTuple):
    """One line: its object, or the problem that makes it unusable."""

    line: int
    value: Mapping[str, Any]
    problem: str
    raw: str


@dataclass(frozen=True)
class JsonLines:
    """A file of objects as rows: a key is a column, a missing or null value is an empty text."""

    path: Path
    columns: tuple[str, ...]

    def records(self, columns: Sequence[str]) -> Iterator[Record]:
        """Every object, with the values of `columns` as text in this order."""
        for line, value, problem, raw in json_objects(self.path):
            fields = [] if problem else [json_text(value.get(name)) for name in columns]
            yield Record(line, fields, problem or bad_characters(fields), raw)


def json_columns(path: Path) -> tuple[str, ...]:
    """The keys of the first thousand objects, in the order of their first occurrence.

    Raises:
        DataError: none of these lines is an object.
    """
    keys: dict[str, None] = {}
    for found in itertools.islice(json_objects(path), _HEAD_ROWS):
        keys.update(dict.fromkeys(found.value))
    if not keys:
        raise DataError(f'{path} is not JSON Lines: no line is an object such as {{"user_id": …}}')
    return tuple(keys)


def json_objects(path: Path) -> Iterator[JsonObject]:
    """The object of every line that is not blank.

    Raises:
        DataError: the file is missing, breaks off or is damaged.
    """
    for line, raw in numbered_lines(path):
        problem, value = "", None
        if len(raw) >= MAX_LINE_CHARS - 2:
            problem = f"line of {MAX_LINE_CHARS} or more characters"
        else:
            try:
                value = json.loads(raw)
            except (ValueError, RecursionError):
                problem = "not JSON"
        if not problem and not isinstance(value, dict):
            problem = "not a JSON object"
        yield JsonObject(line, value if isinstance(value, dict) else {}, problem, raw)


def json_text(value: Any) -> str:
    """A value as the text that a CSV file would have.

    >>> json_text(17850.0), json_text(["red", "cup"]), json_text(None), json_text(True)
    ('17850', 'red cup', '', 'true')
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list):
        return " ".join(filter(None, map(json_text, value)))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
