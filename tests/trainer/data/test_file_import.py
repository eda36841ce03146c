"""Good files of every form, and the counts of what was dropped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.errors import UsageError
from dualtower_trainer.data import FileOptions, describe, import_files, load_dataset

LOG = [
    ("user_id", "item_id", "timestamp", "event", "weight"),
    ("ann", "i1", 1_500_000_000, "view", 1),
    ("ann", "i2", 1_500_000_100, "buy", 2.5),
    ("bob", "i1", 1_400_000_000, "", 1),
]
ITEMS = [
    ("item_id", "title", "category", "blocked"),
    ("i1", "Red cup, large", "cups", "false"),
    ("i2", 'Cup "deluxe"\nblue', "", "true"),
    ("i3", "Grüner Becher", "cups", ""),
]
Write = Callable[..., Path]


def _rows(folder: Path) -> list[dict[str, object]]:
    return pq.read_table(folder / "interactions.parquet").to_pylist()


def test_csv(write_csv: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = import_files(write_csv("log.csv", LOG), write_csv("items.csv", ITEMS), out)
    assert _rows(out) == [
        {"user_id": "bob", "item_id": "i1", "timestamp": 1_400_000_000, "weight": 1.0}
        | {"event": None},
        {"user_id": "ann", "item_id": "i1", "timestamp": 1_500_000_000, "weight": 1.0}
        | {"event": "view"},
        {"user_id": "ann", "item_id": "i2", "timestamp": 1_500_000_100, "weight": 2.5}
        | {"event": "buy"},
    ]
    assert pq.read_table(out / "items.parquet").to_pylist() == [
        {"item_id": "i1", "text": "Red cup, large", "category": "cups", "blocked": False},
        {"item_id": "i2", "text": 'Cup "deluxe"\nblue', "category": None, "blocked": True},
        {"item_id": "i3", "text": "Grüner Becher", "category": "cups", "blocked": False},
    ]
    assert not (out / "quarantine.csv").exists()
    assert report == json.loads((out / "import_report.json").read_text())
    assert (report["interactions"], report["users"], report["items"]) == (3, 2, 3)
    assert report["items_file"]["without_interactions"] == 1
    assert report["quarantine"] == {"rows": 0, "file": None, "not_written": 0}


def test_schemas_are_the_canonical_ones(write_csv: Write, tmp_path: Path) -> None:
    import_files(write_csv("log.csv", LOG), write_csv("items.csv", ITEMS), tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "interactions.parquet")
    assert {field.name: field.type for field in schema} == {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "timestamp": pa.int64(),
        "weight": pa.float32(),
        "event": pa.string(),
    }


@pytest.mark.parametrize("form", ["tsv", "csv.gz", "tsv.gz", "parquet", "delimiter", "bom", "crlf"])
def test_every_form_gives_the_same(write_csv: Write, tmp_path: Path, form: str) -> None:
    import_files(write_csv("a.csv", LOG), write_csv("b.csv", ITEMS), tmp_path / "reference")
    options = FileOptions()
    if form == "parquet":
        paths = []
        for name, (header, *rows) in (("log.parquet", LOG), ("items.parquet", ITEMS)):
            columns = [[row[place] for row in rows] for place in range(len(header))]
            pq.write_table(pa.table(dict(zip(header, columns, strict=True))), tmp_path / name)
            paths.append(tmp_path / name)
    elif form == "delimiter":
        options = FileOptions(delimiter=";")
        paths = [write_csv("log.txt", LOG, ";"), write_csv("items.txt", ITEMS, ";")]
    else:
        mark = "\t" if form.startswith("tsv") else ","
        names = ("log.csv", "items.csv") if mark == "," else ("log.tsv", "items.tsv")
        paths = [write_csv(names[0], LOG, mark), write_csv(names[1], ITEMS, mark)]
        if form.endswith(".gz"):
            for place, path in enumerate(paths):
                paths[place] = path.with_name(path.name + ".gz")
                paths[place].write_bytes(gzip.compress(path.read_bytes()))
        if form == "bom":
            for path in paths:
                path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        if form == "crlf":
            paths[0].write_bytes(paths[0].read_bytes().replace(b"\n", b"\r\n"))
    import_files(*paths, tmp_path / "out", options)
    for name in ("interactions.parquet", "items.parquet"):
        assert pq.read_table(tmp_path / "out" / name).equals(
            pq.read_table(tmp_path / "reference" / name)
        )


def test_parquet_types_read_as_their_text(write_csv: Write, tmp_path: Path) -> None:
    moments = [datetime(2017, 1, 1, 12), datetime(2017, 1, 2, 12), None]
    log = pa.table(
        {
            "CustomerID": pa.array([17850.0, None, 3.0]),  # a pandas column of ids with gaps
            "item_id": pa.array([1, 2, 2], pa.int32()),
            "timestamp": pa.array(moments, pa.timestamp("ms", tz="Europe/Berlin")),
        }
    )
    items = pa.table(
        {
            "item_id": pa.array(["1", "2"]).dictionary_encode(),
            "text": ["one", "two"],
            "blocked": [True, False],
        }
    )
    pq.write_table(log, tmp_path / "log.parquet")
    pq.write_table(items, tmp_path / "items.parquet")
    report = import_files(
        tmp_path / "log.parquet",
        tmp_path / "items.parquet",
        tmp_path / "out",
        FileOptions(columns={"user_id": "CustomerID"}, max_bad_share=0.9),
    )
    noon_s = int(datetime(2017, 1, 1, 12, tzinfo=timezone.utc).timestamp())
    assert _rows(tmp_path / "out") == [
        {"user_id": "17850", "item_id": "1", "timestamp": noon_s, "weight": 1.0}
    ]
    assert report["interactions_file"]["quarantined"] == {"empty user id": 1, "bad timestamp": 1}
    blocked = pq.read_table(tmp_path / "out" / "items.parquet")["blocked"].to_pylist()
    assert blocked == [True, False]


def test_columns_by_map_and_a_time_pattern(write_csv: Write, tmp_path: Path) -> None:
    log = write_csv(
        "log.csv",
        [("Invoice", "CustomerID", "StockCode", "Date"), ("1", "7", "x", "12/1/2010 8:26")],
    )
    items = write_csv("items.csv", [("StockCode", "Description"), ("x", "Inflatable globe")])
    import_files(
        log,
        items,
        tmp_path / "out",
        FileOptions(
            columns={"user_id": "CustomerID", "item_id": "StockCode", "timestamp": "Date"},
            item_columns={"item_id": "StockCode", "text": "Description"},
            timestamp_format="%m/%d/%Y %H:%M",
        ),
    )
    assert _rows(tmp_path / "out")[0]["timestamp"] == 1_291_191_960


def test_text_goes_before_title(write_csv: Write, tmp_path: Path) -> None:
    items = write_csv("items.csv", [("title", "item_id", "text"), ("short", "i1", "long text")])
    import_files(write_csv("log.csv", LOG[:2]), items, tmp_path / "out")
    assert load_dataset(tmp_path / "out").catalogue.texts.tolist() == ["long text"]


def test_equal_rows_are_dropped_and_repeats_kept(write_csv: Write, tmp_path: Path) -> None:
    rows = [
        LOG[0],
        ("u", "i1", 1_500_000_000, "buy", 1),
        ("u", "i1", 1_500_000_000, "buy", 1),
        ("u", "i1", 1_500_000_000, "view", 1),  # another event
        ("u", "i1", 1_500_000_000, "buy", 2),  # another weight
        ("u", "i1", 1_500_000_001, "buy", 1),  # another time
        ("v", "i1", 1_500_000_000, "buy", 1),
        ("u", "i1", 1_500_000_000, "buy", 1),
    ]
    items = [*ITEMS, ITEMS[1]]
    report = import_files(write_csv("l.csv", rows), write_csv("i.csv", items), tmp_path / "out")
    assert report["interactions_file"]["dropped"] == {"equal to an earlier row": 2}
    assert report["items_file"]["dropped"] == {"equal to an earlier row": 1}
    assert report["interactions"] == 5


def test_without_times_all_are_0_and_no_row_is_lost(write_csv: Write, tmp_path: Path) -> None:
    rows = [("user_id", "item_id"), *((f"u{n % 7}", f"i{n % 2 + 1}") for n in range(1000))]
    report = import_files(write_csv("l.csv", rows), write_csv("i.csv", ITEMS), tmp_path / "out")
    found = _rows(tmp_path / "out")
    assert [(row["user_id"], row["item_id"]) for row in found] == rows[1:]
    assert {row["timestamp"] for row in found} == {0}
    assert (report["first"], report["last"]) == (None, None)
    assert "a split is random" in report["warnings"][0]
    dataset = load_dataset(tmp_path / "out")
    assert not dataset.has_time
    facts = describe(dataset)
    assert facts["first"] is facts["days"] is None
    assert facts["split"]["kind"] == "random"


def test_times_that_look_like_dates_are_warned_of(write_csv: Write, tmp_path: Path) -> None:
    rows = [("user_id", "item_id", "timestamp"), ("u", "i1", "20171231")]
    report = import_files(write_csv("l.csv", rows), write_csv("i.csv", ITEMS), tmp_path / "out")
    assert "%Y%m%d" in report["warnings"][0]


def test_one_file_may_be_both(write_csv: Write, tmp_path: Path) -> None:
    both = write_csv(
        "all.csv",
        [("user_id", "item_id", "text"), ("u", "1", "one"), ("v", "1", "one"), ("v", "2", "two")],
    )
    report = import_files(both, both, tmp_path / "out")
    assert (report["interactions"], report["items"]) == (3, 2)
    assert report["items_file"]["dropped"] == {"equal to an earlier row": 1}


def test_quotes_off(tmp_path: Path) -> None:
    (tmp_path / "items.tsv").write_text('item_id\ttext\na\t"open quote\nb\t12" ruler\n')
    (tmp_path / "log.tsv").write_text("user_id\titem_id\nu\ta\nu\tb\n")
    import_files(
        tmp_path / "log.tsv", tmp_path / "items.tsv", tmp_path / "out", FileOptions(quotes=False)
    )
    texts = load_dataset(tmp_path / "out").catalogue.texts.tolist()
    assert texts == ['"open quote', '12" ruler']


def test_a_long_file_goes_through_in_pieces(tmp_path: Path) -> None:
    """More rows than one piece of anything: batches of Parquet, ticks of the progress."""
    n = 70_000
    log = pa.table(
        {
            "user_id": pa.array(np.arange(n) % 100),
            "item_id": pa.array(np.arange(n) % 3),
            "timestamp": pa.array(np.arange(n) + 1_500_000_000),
        }
    )
    pq.write_table(log, tmp_path / "log.parquet")
    (tmp_path / "items.csv").write_text("item_id,text\n0,a\n1,b\n2,c\n")
    report = import_files(tmp_path / "log.parquet", tmp_path / "items.csv", tmp_path / "out")
    assert report["interactions"] == n
    pq.write_table(log, tmp_path / "log.parquet")
    import csv

    with (tmp_path / "log.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([log.column_names, *zip(*log.to_pydict().values())])  # noqa: B905
    again = import_files(tmp_path / "log.csv", tmp_path / "items.csv", tmp_path / "again")
    assert again["interactions"] == n
    assert pq.read_table(tmp_path / "again" / "interactions.parquet").equals(
        pq.read_table(tmp_path / "out" / "interactions.parquet")
    )


def test_dry_run_reports_and_writes_nothing(write_csv: Write, tmp_path: Path) -> None:
    log, items = write_csv("log.csv", LOG), write_csv("items.csv", ITEMS)
    report = import_files(log, items, tmp_path / "out", dry_run=True)
    assert report["interactions"] == 3
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        import_files(log, items, tmp_path / "out", dry_run=True)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_options_are_checked(share: float) -> None:
    with pytest.raises(ValueError, match="max_bad_share"):
        FileOptions(max_bad_share=share)
