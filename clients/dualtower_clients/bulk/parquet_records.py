"""Records of a Parquet file, a few thousand at a time, whatever the size of its row groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dualtower.errors import DataError
from dualtower_clients.bulk._arrow import arrow, parquet
from dualtower_clients.bulk.inputs import InputFile
from dualtower_clients.bulk.records import OTHER_COLUMN, Columns, Record

__all__ = ["parquet_records", "parquet_rows"]

_BATCH_ROWS = 512
_BUFFER_BYTES = 1 << 20  # of a column that is read in a stream, not as a whole row group


def parquet_rows(file: InputFile) -> int:
    """How many rows the file says that it has.

    Raises:
        DataError: it is no Parquet file.
    """
    with _opened(file) as source:
        return int(source.metadata.num_rows)


def parquet_records(
    file: InputFile, columns: Columns, *, is_of_users: bool, skip: int = 0
) -> Iterator[Record]:
    """A record for each row after the first `skip`.

    Raises:
        DataError: it is no Parquet file, or a column is missing or of another type.
    """
    with _opened(file) as source:
        _check(file, source.schema_arrow, columns, is_of_users=is_of_users)
        groups, line = _groups_after(source, skip)
        batches = source.iter_batches(
            _BATCH_ROWS, row_groups=groups, columns=list(columns), use_threads=False
        )
        for batch in batches:
            unread = max(0, skip - line)
            if unread < batch.num_rows:
                yield from _records(batch.slice(unread), columns, line + unread)
            line += batch.num_rows


@contextmanager
def _opened(file: InputFile) -> Iterator[Any]:
    errors = arrow().ArrowException
    try:
        with parquet().ParquetFile(
            file.path, buffer_size=_BUFFER_BYTES, pre_buffer=False
        ) as source:
            yield source
    except (errors, OSError) as error:
        raise DataError(f"cannot read {file.path}: {error}") from error


def _check(file: InputFile, schema: Any, columns: Columns, *, is_of_users: bool) -> None:
    for name in columns:
        if schema.names.count(name) != 1:
            raise DataError(
                f"{file.path} needs one column {name!r}; it has {', '.join(schema.names)}"
                f"{OTHER_COLUMN}"
            )
    _check_type(file, schema, columns.item_id, is_list=False)
    _check_type(file, schema, columns.content, is_list=is_of_users)


def _check_type(file: InputFile, schema: Any, name: str, *, is_list: bool) -> None:
    types = arrow().types
    kind = schema.field(name).type
    value = kind
    if is_list:
        is_a_list = types.is_list(kind) or types.is_large_list(kind)
        value = kind.value_type if is_a_list else None
    if value is not None and types.is_dictionary(value):
        value = value.value_type
    if value is None or not (types.is_string(value) or types.is_large_string(value)):
        wanted = "list<string>" if is_list else "string"
        raise DataError(f"column {name!r} of {file.path} is {kind}; it has to be {wanted}")


def _groups_after(source: Any, skip: int) -> tuple[list[int], int]:
    """The row groups that hold rows after the first `skip`, and how many rows come before them."""
    before = 0
    for group in range(source.num_row_groups):
        rows = source.metadata.row_group(group).num_rows
        if before + rows > skip:
            return list(range(group, source.num_row_groups)), before
        before += rows
    return [], before


def _records(batch: Any, columns: Columns, before: int) -> Iterator[Record]:
    ids, contents = (_values(batch.column(name)) for name in columns)
    for line, (item_id, content) in enumerate(zip(ids, contents, strict=True), before + 1):
        yield Record(line, item_id, content)


def _values(column: Any) -> list[object]:
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:  # Parquet's strings may hold any bytes
        values = [_value(cell) for cell in column]
    return values


def _value(cell: Any) -> object:
    """A string, or bytes that are no UTF-8; of a list, its entries."""
    if not cell.is_valid:
        return None
    if hasattr(cell, "values"):
        return [_value(entry) for entry in cell.values]
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        scalar = cell.value if hasattr(cell, "dictionary") else cell
        return scalar.as_buffer().to_pybytes()
