"""Rows out of CSV, TSV, JSONL and Parquet files, plain or gzipped, as text, in bounded memory.

A reader never dies of one bad row: it hands it on with the reason. Lines are numbered as an editor
numbers them; rows of Parquet from 1.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtower.errors import DataError, UsageError
from dualtower_trainer.data.json_records import JSON_SUFFIXES, JsonLines, json_columns
from dualtower_trainer.data.parquet_records import parquet_columns, parquet_records
from dualtower_trainer.data.record import Record, RowSource, bad_characters
from dualtower_trainer.data.text_lines import (
    MAX_LINE_CHARS,
    bounded_lines,
    damage_named,
    file_head,
    opened_text,
    repaired,
    row_bar,
)

__all__ = ["Source", "name_suffix", "open_source"]

MAX_RECORD_LINES = 100  # a quoted field may hold line breaks, but an open quote must not eat a file
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


@dataclass(frozen=True)
class Source:
    """A file of rows: its column names, and how to read it.

    `delimiter` is None for Parquet; with `quotes` off a quote is a character like any other; with
    `latin` a line that is no UTF-8 is read as Latin-1 instead of being refused.
    """

    path: Path
    columns: tuple[str, ...]
    delimiter: str | None
    quotes: bool
    latin: bool = False

    def records(self, columns: Sequence[str]) -> Iterator[Record]:
        """Every row below the header, with the fields of `columns` in this order.

        Raises:
            DataError: the file breaks off or is damaged.
        """
        if self.delimiter is None:
            return parquet_records(self.path, columns)
        return _text_records(self, columns)


def open_source(
    path: Path, *, delimiter: str | None = None, quotes: bool = True, latin: bool = False
) -> RowSource:
    """Opens a file by its name: .csv, .tsv, .tab, .jsonl (each also .gz) or .parquet.

    Args:
        path: the file.
        delimiter: one character that replaces the one that the name says; `\\t` is a tab.
        quotes: whether `"…"` encloses a field.
        latin: whether lines that are no UTF-8 are Latin-1.

    Raises:
        DataError: the file is missing, empty, or not what its name says.
        UsageError: the name says nothing and no delimiter is given.
    """
    file_head(path, "CSV, TSV, JSONL or Parquet")
    suffix = name_suffix(path)
    if suffix == ".parquet":
        return Source(path, parquet_columns(path), None, True)
    if delimiter is None and suffix in JSON_SUFFIXES:
        return JsonLines(path, json_columns(path))
    if delimiter is None and suffix not in _DELIMITERS:
        raise UsageError(
            f"the name of {path} does not say how it is written; call it .csv, .tsv, .jsonl or "
            ".parquet, or give --delimiter"
        )
    mark = delimiter.replace("\\t", "\t") if delimiter else _DELIMITERS[suffix]
    if len(mark) != 1 or mark in '"\r\n':
        raise UsageError(f"the delimiter must be one character, got {delimiter!r}")
    with damage_named(path), opened_text(path) as (_, text):
        lines = _Lines(bounded_lines(text))
        header = next(_reader(lines, mark, quotes), None)
    if not header:
        raise DataError(f"{path} is empty; it must have a header and rows")
    if any("\0" in name for name in header):
        raise DataError(
            f"{path} is no text in UTF-8: its first line holds zero bytes; save it as CSV in UTF-8 "
            "or call it by what it is: .gz, .parquet"
        )
    return Source(path, tuple(name.strip() for name in header), mark, quotes, latin)


def name_suffix(path: Path) -> str:
    """The ending of a name, in lower case and without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


class _Lines:
    """Feeds csv.reader and remembers the lines of the record that it is reading."""

    def __init__(self, source: Iterator[str]) -> None:
        self.number = 0  # of the last line that was handed out
        self.taken: list[str] = []
        self.broken = False  # the reader wanted more lines than a record may have, or than exist
        self._source = source
        self._again: deque[str] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES:
            self.broken = True
            raise StopIteration
        if self._again:
            line = self._again.popleft()
        else:
            try:
                line = next(self._source)
            except StopIteration:
                self.broken = bool(self.taken)
                raise
        self.number += 1
        self.taken.append(line)
        return line

    def take(self) -> list[str]:
        """The lines of the record that is complete now."""
        taken, self.taken, self.broken = self.taken, [], False
        return taken

    def give_back(self, lines: list[str]) -> None:
        """Lines to be read once more."""
        self._again.extendleft(reversed(lines))
        self.number -= len(lines)


def _reader(lines: _Lines, delimiter: str, quotes: bool) -> Iterator[list[str]]:
    # a text of a million characters is cut later, it must not end the reading
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_CHARS * 2))
    if quotes:
        return csv.reader(lines, delimiter=delimiter)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def _text_records(source: Source, columns: Sequence[str]) -> Iterator[Record]:
    assert source.delimiter is not None
    places = [source.columns.index(name) for name in columns]
    width = len(source.columns)
    with (
        damage_named(source.path),
        opened_text(source.path) as (raw_file, text),
        row_bar(source.path) as moved,
    ):
        found = bounded_lines(text)
        lines = _Lines(map(repaired, found) if source.latin else found)
        reader = _reader(lines, source.delimiter, source.quotes)
        next(reader)
        lines.take()
        while True:
            first = lines.number + 1
            problem = ""
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fields, problem = [], f"unreadable record ({error})"
            broken, taken = lines.broken, lines.take()
            if not problem and not broken and len(fields) == width:
                raw = taken[0] if len(taken) == 1 else "".join(taken)
                fields = [fields[place] for place in places]
                yield Record(first, fields, _problem_of(raw, fields), raw)
            elif problem or broken or fields:
                # one bad line costs one line: what an open quote swallowed is read again
                raw, *swallowed = taken
                lines.give_back(swallowed)
                reader = _reader(lines, source.delimiter, source.quotes)
                if broken or swallowed:
                    problem = "quote without its end"
                problem = _problem_of(raw, []) or problem or "wrong number of fields"
                yield Record(first, [], problem, raw)
            moved(raw_file)


def _problem_of(raw: str, fields: list[str]) -> str:
    if "\0" in raw:
        return "NUL byte"
    if len(raw) >= MAX_LINE_CHARS:
        return f"line of {MAX_LINE_CHARS} or more characters"
    return bad_characters(fields)
