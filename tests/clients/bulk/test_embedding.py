"""Files through a served bundle, beside the same texts asked directly."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_runs import (
    check_whole,
    embedded,
    items,
    quarantined,
    run,
    same,
    vectors,
    write_jsonl,
    write_parquet,
)

from dualtower.errors import DataError, UsageError
from dualtower_clients.bulk import BulkEmbedder, BulkOptions


def test_vectors_are_those_of_the_items_in_the_inputs_order(served, direct, tmp_path):
    rows = items(1000)
    source = write_parquet(tmp_path / "items.parquet", rows, row_group_size=300)
    report = run(served.address, source, tmp_path / "out", shard_rows=400, batch_rows=24)
    ids, found = vectors(tmp_path / "out")
    assert ids == [item_id for item_id, _ in rows]
    assert same(found, embedded(direct, [text for _, text in rows]))
    assert (report.rows, report.shards, report.resumed_rows) == (1000, 3, 0)
    assert report.fingerprint == direct.embed_items([]).fingerprint
    assert report.versions == (1,)
    check_whole(tmp_path / "out")


def test_a_shard_says_whose_vectors_it_holds(served, direct, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", items(3))
    run(served.address, source, tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "part-00000.parquet")
    assert schema.field("item_id").type == pa.string()
    assert schema.field("embedding").type == pa.list_(pa.float32(), 4)
    assert schema.metadata == {
        b"dualtower.model": b"item_tower",
        b"dualtower.fingerprint": direct.embed_items([]).fingerprint.encode(),
        b"dualtower.dim": b"4",
        b"dualtower.version": b"1",
    }


def test_every_format_gives_the_same_vectors(served, tmp_path):
    rows = items(50)
    rows[7] = ("i7", 'a "quoted", text\nof two lines')
    write_parquet(tmp_path / "a.parquet", rows)
    write_jsonl(tmp_path / "a.jsonl", rows)
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "item_id"), *(row[::-1] for row in rows)])
    for name in ("a.jsonl", "a.csv"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    found = {}
    for name in ("a.parquet", "a.jsonl", "a.csv", "a.jsonl.gz", "a.csv.gz"):
        run(served.address, tmp_path / name, tmp_path / f"out-{name}")
        found[name] = vectors(tmp_path / f"out-{name}")
    ids, wanted = found["a.parquet"]
    assert ids == [item_id for item_id, _ in rows]
    for other_ids, others in found.values():
        assert other_ids == ids
        assert same(others, wanted)


def test_several_files_and_patterns_are_one_input(served, tmp_path):
    write_jsonl(tmp_path / "b-2.jsonl", items(20, first=20))
    write_jsonl(tmp_path / "b-1.jsonl", items(20))
    last = write_parquet(tmp_path / "a.parquet", items(20, first=40))
    inputs = [tmp_path / "b-*.jsonl", last, last]
    report = run(served.address, inputs, tmp_path / "out", shard_rows=25)
    assert vectors(tmp_path / "out")[0] == [f"i{n}" for n in range(60)]
    assert report.shards == 3


HISTORIES = [["rye bread"], [], ["a", "b", "a"], [f"item number {n}" for n in range(20)], ["", "x"]]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_histories_are_embedded_by_the_user_tower(kind, served, direct, tmp_path):
    ids = [f"u{n}" for n in range(len(HISTORIES))]
    source = tmp_path / f"users.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"user_id": ids, "seen": HISTORIES}), source)
    elif kind == "jsonl":
        rows = zip(ids, HISTORIES, strict=True)
        source.write_text(
            "".join(json.dumps({"user_id": name, "seen": seen}) + "\n" for name, seen in rows)
        )
    else:
        with source.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["user_id", "seen"])
            writer.writerows((i, json.dumps(h)) for i, h in zip(ids, HISTORIES, strict=True))
    out = tmp_path / "out"
    options = {"model": "user_tower", "id_column": "user_id", "history_column": "seen"}
    report = run(served.address, source, out, **options)
    found_ids, found = vectors(out, "user_id")
    assert found_ids == ids
    assert same(found, direct.embed_users(HISTORIES).vectors)
    assert report.model == "user_tower"


def test_bad_rows_are_put_aside_with_file_line_and_reason(served, direct, tmp_path):
    rows = items(6)
    rows[1] = (None, "no id")
    rows[2] = ("i2", "")
    rows[4] = ("i0", "the id of the first")
    source = write_jsonl(tmp_path / "items.jsonl", rows)
    out = tmp_path / "out"
    report = run(served.address, source, out, shard_rows=3)
    ids, found = vectors(out)
    assert ids == ["i0", "i3", "i5"]
    assert same(found, direct.embed_items([rows[n][1] for n in (0, 3, 5)]).vectors)
    assert [(one["file"], one["line"], one["item_id"]) for one in quarantined(out)] == [
        ("items.jsonl", 2, None),
        ("items.jsonl", 3, "i2"),
        ("items.jsonl", 5, "i0"),
    ]
    assert report.quarantined == {
        "item_id is null": 1,
        "text is empty": 1,
        "the id came before": 1,
    }
    check_whole(out)


def test_duplicates_may_be_kept(served, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", [("a", "x"), ("a", "y"), ("b", "x")])
    run(served.address, source, tmp_path / "out", duplicates="keep")
    ids, found = vectors(tmp_path / "out")
    assert ids == ["a", "a", "b"]
    assert same(found[0], found[2])
    assert not same(found[0], found[1])


@pytest.mark.parametrize("rows", [[], [(None, None)] * 5], ids=["none", "bad ones"])
def test_an_input_without_a_good_row_gives_an_empty_shard(rows, served, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", rows)
    report = run(served.address, source, tmp_path / "out", shard_rows=5)
    ids, found = vectors(tmp_path / "out")
    assert (ids, found.shape) == ([], (0, 4))
    assert (report.rows, report.shards, report.versions) == (0, 1, ())
    check_whole(tmp_path / "out")


def test_a_column_that_is_missing_or_of_another_type_is_named(served, tmp_path):
    pq.write_table(pa.table({"item_id": [1, 2], "text": ["a", "b"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"'item_id' of .* is int64; it has to be string"):
        run(served.address, tmp_path / "a.parquet", tmp_path / "out")
    with pytest.raises(DataError, match="'title'; it has item_id, text"):
        run(served.address, tmp_path / "a.parquet", tmp_path / "o", text_column="title")


def test_what_cannot_be_an_input_is_refused(served, tmp_path):
    (tmp_path / "a.txt").touch()
    for inputs, words in (
        ([], "no input file"),
        ([tmp_path / "none-*.csv"], "no pattern that a file matches"),
        ([tmp_path / "a.txt"], "no known format"),
        ([tmp_path], "is a folder"),
        (None, "paths and patterns, got None"),
        (5, "paths and patterns, got 5"),
        ([None], "a path or a pattern, got None"),
        ("", "a path or a pattern, got ''"),
    ):
        with pytest.raises(UsageError, match=words):
            run(served.address, inputs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_runs_in_a_loop_that_runs_already(served, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", items(10))

    async def both() -> list[int]:
        embedder = BulkEmbedder(served.address, options=BulkOptions(label=None, version=1))
        runs = [embedder.run_async([source], tmp_path / f"out{n}") for n in range(2)]
        return [report.rows for report in await asyncio.gather(*runs)]

    assert asyncio.run(both()) == [10, 10]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("model", "recommender"),
        ("duplicates", "drop"),
        ("batch_rows", 0),
        ("shard_rows", -1),
        ("timeout_s", 0),
        ("patience_s", float("nan")),
        ("patience_s", float("inf")),
        ("timeout_s", None),
        ("batch_rows", "x"),
        ("batch_rows", 2.5),
        ("id_column", ""),
        ("text_column", None),
        ("version", "1"),
        ("label", 5),
        ("expect_fingerprint", 5),
        ("id_column", "embedding"),
    ],
)
def test_options_are_checked(option, value):
    with pytest.raises(UsageError, match=option.split("_")[0]):
        BulkOptions(**{option: value})
