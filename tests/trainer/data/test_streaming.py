"""Files pass through in pieces: what is held while a file is read does not grow with the file."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower_trainer.data.formats import FormatOptions, open_format
from dualtower_trainer.data.records import open_source

FILLER = "x" * 900
MIB = 1 << 20


def _csv(path: Path, rows: int) -> None:
    lines = (f"u{n},i{n},{n},{FILLER}\n" for n in range(rows))
    with gzip.open(path, "wt", compresslevel=1) as stream:
        stream.write("user_id,item_id,timestamp,comment\n")
        stream.writelines(lines)


def _jsonl(path: Path, rows: int) -> None:
    with path.open("w") as stream:
        for n in range(rows):
            value = {"reviewerID": f"u{n}", "asin": f"i{n}", "overall": 5, "unixReviewTime": n}
            stream.write(json.dumps({**value, "reviewText": FILLER}) + "\n")


def _parquet(path: Path, rows: int) -> None:
    names = pa.array([f"u{n}" for n in range(rows)])
    table = pa.table({"user_id": names, "item_id": names})
    pq.write_table(table, path, row_group_size=4096, use_dictionary=False)


def _behaviors(path: Path, rows: int) -> None:
    shown = " ".join(f"N{n}-0" for n in range(100))
    with path.open("w") as stream:
        for n in range(rows):
            stream.write(f"{n}\tU{n % 50}\t11/11/2019 9:{n % 60:02}:58 AM\tN1\t{shown} N7-1\n")


def _xlsx(path: Path, rows: int, write_workbook: Callable[..., Path]) -> None:
    header = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice",
              "CustomerID")  # fmt: skip
    lines = ((n, f"{n % 90:05}", f"TEXT {n % 90}", 1, 40000.5, 1.5, n % 99) for n in range(rows))
    write_workbook(path, (line for part in ([header], lines) for line in part))


@pytest.mark.parametrize(
    ("form", "few", "many"),
    [
        ("csv", 3_000, 24_000),
        ("jsonl", 3_000, 24_000),
        ("parquet", 70_000, 140_000),  # a piece is 32,768 rows, and two are held at a time
        ("mind", 500, 3_000),
        ("xlsx", 2_000, 10_000),
    ],
)
def test_memory_does_not_grow_with_the_file(
    form: str, few: int, many: int, tmp_path: Path, write_workbook: Callable[..., Path]
) -> None:
    def peak_bytes(rows: int) -> int:
        options = FormatOptions()
        if form == "csv":
            path = tmp_path / f"{rows}.csv.gz"
            _csv(path, rows)
            source = open_source(path)
        elif form == "jsonl":
            path = tmp_path / f"{rows}.json"
            _jsonl(path, rows)
            source = open_format("amazon", path, path, options).log
        elif form == "parquet":
            path = tmp_path / f"{rows}.parquet"
            _parquet(path, rows)
            source = open_source(path)
        elif form == "mind":
            path = tmp_path / f"{rows}.tsv"
            _behaviors(path, rows)
            source = open_format("mind", path, path, options).log
        else:
            path = tmp_path / f"{rows}.xlsx"
            _xlsx(path, rows, write_workbook)
            source = open_format("online-retail", path, None, options).log
        arrow_before = pa.total_allocated_bytes()
        highest = arrow = 0
        tracemalloc.start()
        for place, record in enumerate(source.records(source.columns[:2])):
            assert not record.problem
            if place % 500 == 0:
                arrow = max(arrow, pa.total_allocated_bytes() - arrow_before)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert place >= rows - 1
        return highest + arrow

    short, long = peak_bytes(few), peak_bytes(many)
    assert long < short + MIB
    if form in ("csv", "jsonl"):
        assert many * len(FILLER) > 20 * MIB > 6 * long
