"""Records of JSON Lines and of CSV, packed or not. A line at a time, and never a line without end.

file ─► (gunzip) ─► lines, at most MAX_LINE_BYTES ─► json, or csv ─► Record

Both begin where their cursor is, and move it: after each record it stands where the next begins.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from dualtower.errors import DataError
from dualtower_clients.bulk.inputs import InputFile
from dualtower_clients.bulk.marks import Cursor
from dualtower_clients.bulk.records import OTHER_COLUMN, Columns, Record

__all__ = ["MAX_LINE_BYTES", "csv_records", "history_of", "jsonl_records"]

MAX_LINE_BYTES = 16 << 20
_TOO_LONG = f"the line is longer than {MAX_LINE_BYTES} bytes"
_BOM = b"\xef\xbb\xbf"
_HALF_A_PAIR = range(0xDC80, 0xDD00)  # what "surrogateescape" makes of bytes that are no UTF-8


def jsonl_records(file: InputFile, columns: Columns, cursor: Cursor) -> Iterator[Record]:
    """A record for each line that is not blank."""
    with _opened(file) as stream:
        stream.seek(cursor.offset)
        for line in _lines(stream, cursor):
            if line is None:
                yield Record(cursor.line, None, None, _TOO_LONG)
            elif not line.isspace():
                yield _record_of_json(cursor.line, line, columns)


def csv_records(file: InputFile, columns: Columns, cursor: Cursor) -> Iterator[Record]:
    """A record for each row below the header.

    Raises:
        DataError: the header lacks a column, or a quote is never closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))  # one for the whole process
    offset, line = cursor.offset, cursor.line
    cursor.offset = cursor.line = 0  # the header comes first
    with _opened(file) as stream:
        rows = csv.reader(_text_lines(stream, cursor))
        skipped = 0  # lines, which `csv` did not see
        try:
            header = next(rows, [])
            places = [_place(file, header, name) for name in columns]
            if offset:
                skipped = line - cursor.line
                cursor.offset, cursor.line = offset, line
                stream.seek(offset)
            for cells in rows:  # it asks for lines as it needs them, and never for one more
                if cells:
                    yield _record_of_cells(rows.line_num + skipped, cells, places, len(header))
        except csv.Error as error:
            raise DataError(
                f"{file.path}, near line {rows.line_num + skipped}: {error}; "
                "is a quote left open before it?"
            ) from error


def history_of(cell: object) -> object:
    """The history that a CSV cell holds: a list in JSON."""
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


@contextmanager
def _opened(file: InputFile) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(file.path) if file.is_gzip else file.path.open("rb") as stream:
            yield stream  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot read {file.path}: {getattr(error, 'strerror', None) or error}"
        ) from error


def _lines(stream: IO[bytes], cursor: Cursor) -> Iterator[bytes | None]:
    """Lines; None for one that is too long."""
    while line := stream.readline(MAX_LINE_BYTES):
        is_first = cursor.offset == 0
        cursor.offset += len(line)
        cursor.line += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while rest := stream.readline(MAX_LINE_BYTES):
                cursor.offset += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield None
        else:
            yield line.removeprefix(_BOM) if is_first else line


def _text_lines(stream: IO[bytes], cursor: Cursor) -> Iterator[str]:
    """Lines for `csv`; bytes that are no UTF-8 come as surrogates, which `_cell` finds again."""
    for line in _lines(stream, cursor):
        if line is None:
            raise csv.Error(_TOO_LONG)
        yield line.decode("utf-8", "surrogateescape")


def _record_of_json(number: int, line: bytes, columns: Columns) -> Record:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError:
        return Record(number, None, None, "the line is no UTF-8")
    except (ValueError, RecursionError):
        return Record(number, None, None, "the line is no JSON")
    if not isinstance(values, dict):
        return Record(number, None, None, "the line is no JSON object")
    return Record(number, values.get(columns.item_id), values.get(columns.content))


def _place(file: InputFile, header: list[str], name: str) -> int:
    if name not in header:
        raise DataError(
            f"{file.path} has no column {name!r}, only {', '.join(header) or 'an empty header'}"
            f"{OTHER_COLUMN}"
        )
    return header.index(name)


def _record_of_cells(line: int, cells: list[str], places: list[int], width: int) -> Record:
    if len(cells) != width:
        return Record(line, None, None, "the row has another number of cells than the header")
    item_id, content = (_cell(cells[place]) for place in places)
    return Record(line, item_id, content)


def _cell(text: str) -> str | bytes:
    if not text.isascii() and any(ord(character) in _HALF_A_PAIR for character in text):
        return text.encode("utf-8", "surrogateescape")
    return text
