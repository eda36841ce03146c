"""The records of all files, one after the other, from any place on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from dualtower_clients.bulk.inputs import InputFile
from dualtower_clients.bulk.line_records import csv_records, history_of, jsonl_records
from dualtower_clients.bulk.marks import Cursor, Mark, Marks
from dualtower_clients.bulk.options import BulkOptions
from dualtower_clients.bulk.parquet_records import parquet_records, parquet_rows
from dualtower_clients.bulk.records import Columns, Record

__all__ = ["known_rows", "read"]


def known_rows(files: Sequence[InputFile]) -> int | None:
    """How many records there are, where that can be told without reading them."""
    if any(file.kind != "parquet" for file in files):
        return None
    return sum(map(parquet_rows, files))


def read(
    files: Sequence[InputFile],
    options: BulkOptions,
    *,
    skip: int = 0,
    begin: Mark | None = None,
    marks: Marks | None = None,
) -> Iterator[tuple[str, Record]]:
    """The name of the file and the record, without the first `skip` records of all files.

    Args:
        files: in their order.
        options: which columns.
        skip: records to leave out.
        begin: where the first record after those begins, if that is known.
        marks: is told where records begin.

    Raises:
        DataError: a file cannot be read, or lacks a column.
    """
    columns, place = Columns(options.id_column, options.content_column), skip
    if begin is not None:
        skip = 0
    for number, file in enumerate(files):
        if begin is not None and number < begin.file:
            continue
        cursor = Cursor()
        if begin is not None and number == begin.file:
            cursor = Cursor(begin.offset, begin.line)
        if file.kind == "parquet":
            rows = parquet_rows(file)
            records = parquet_records(file, columns, is_of_users=options.is_of_users, skip=skip)
            skip = max(0, skip - rows)
        else:
            records = _of_lines(file, columns, cursor, is_of_users=options.is_of_users)
            skip -= sum(1 for _ in islice(records, skip))
        can_seek = file.kind != "parquet" and not file.is_gzip
        for record in records:
            place += 1
            if marks is not None and can_seek:
                marks.note(place, number, cursor)
            yield file.path.name, record


def _of_lines(
    file: InputFile, columns: Columns, cursor: Cursor, *, is_of_users: bool
) -> Iterator[Record]:
    if file.kind == "jsonl":
        yield from jsonl_records(file, columns, cursor)
        return
    for record in csv_records(file, columns, cursor):
        yield record._replace(content=history_of(record.content)) if is_of_users else record
