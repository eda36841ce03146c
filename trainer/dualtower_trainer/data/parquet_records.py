"""Rows of a Parquet file as the text that a CSV file would have: one rule for ids and times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dualtower.errors import DataError
from dualtower.progress import bar
from dualtower_trainer.data.record import Record, bad_characters, first_line

__all__ = ["parquet_columns", "parquet_records"]

_BATCH_ROWS = 1 << 15


def parquet_columns(path: Path) -> tuple[str, ...]:
    """Names of the columns.

    Raises:
        DataError: it is no Parquet file.
    """
    try:
        return tuple(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file ({first_line(error)})") from error


def parquet_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Every row, numbered from 1, with the fields of `columns` in this order.

    Raises:
        DataError: the file is damaged, or a column holds structures, or lists of other than
            numbers.
    """
    line = 0
    try:
        with (
            pq.ParquetFile(path) as file,
            bar(f"read {path.name}", file.metadata.num_rows) as moving,
        ):
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns)):
                values = [_as_text(batch.column(name), name, path) for name in columns]
                for fields in map(list, zip(*values, strict=True)):
                    line += 1
                    yield Record(line, fields, bad_characters(fields), "\t".join(fields))
                moving.advance(batch.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is a damaged Parquet file ({first_line(error)}); fetch it again"
        ) from error


def _as_text(column: pa.Array, name: str, path: Path) -> list[str]:
    """Values as text: whole numbers without a point, times as seconds, null as ""."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if _is_list_of_numbers(kind):
        return [
            "" if value is None else " ".join("nan" if v is None else repr(v) for v in value)
            for value in column.to_pylist()
        ]
    if pa.types.is_nested(kind):
        raise DataError(f"{path}: column {name!r} is {kind}; it must be plain text or numbers")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # microseconds, floored here: a cast to seconds would round times before 1970 up
        ticks = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
        return ["" if tick is None else str(tick // 1_000_000) for tick in ticks]
    if pa.types.is_floating(kind):
        return [_number_as_text(value) for value in column.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        values = column.cast(pa.large_binary()).to_pylist()
        return ["" if v is None else v.decode("utf-8", "surrogateescape") for v in values]
    return ["" if value is None else value for value in column.cast(pa.string()).to_pylist()]


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return is_list and (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    )


def _number_as_text(value: float | None) -> str:
    """A float column of ids is what remains of whole numbers with gaps."""
    if value is None or value != value:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(value)
