"""How rows become batches and shards."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower.errors import UnavailableError
from dualtower_clients.bulk.batches import BatchSize, cut
from dualtower_clients.bulk.records import Record
from dualtower_clients.bulk.rows import Judge
from dualtower_clients.bulk.seen_ids import SeenIds

JUDGE = Judge(id_column="id", content_column="text", is_of_users=False, max_text_bytes=1 << 20)


def records(texts, first=0):
    return [("f", Record(n, f"i{n}", text)) for n, text in enumerate(texts, first)]


def batches(found, *, shard_rows=10, rows=4, first=0, seen=None):
    return list(cut(found, JUDGE, seen, shard_rows=shard_rows, size=BatchSize(rows), first=first))


@given(
    good=st.lists(st.booleans(), max_size=60),
    shard_rows=st.integers(1, 20),
    rows=st.integers(1, 20),
    shards_done=st.integers(0, 3),
)
def test_shards_hold_fixed_rows_of_the_input_whatever_the_batches(
    good, shard_rows, rows, shards_done
):
    first = shards_done * shard_rows
    found = batches(
        records(["x" if one else "" for one in good], first),
        shard_rows=shard_rows,
        rows=rows,
        first=first,
    )
    at = first
    for batch in found:
        assert batch.first == at
        at = batch.after
        assert batch.after - batch.first == len(batch.rows) + len(batch.bad)
        assert len(batch.rows) <= rows
        assert batch.shard == batch.first // shard_rows
        is_last = batch is found[-1]
        assert batch.ends_shard == (is_last or batch.after % shard_rows == 0)
    assert at == first + len(good)
    ids = [row.item_id for batch in found for row in batch.rows]
    assert ids == [f"i{n}" for n, one in enumerate(good, first) if one]
    assert [bad.line for batch in found for bad in batch.bad] == [
        n for n, one in enumerate(good, first) if not one
    ]


def test_an_input_without_rows_has_one_shard():
    assert [(batch.ends_shard, batch.after) for batch in batches([])] == [(True, 0)]


@pytest.mark.parametrize("first", [10, 17])
def test_a_run_that_was_complete_gets_no_shard_more(first):
    assert batches([], first=first) == []


def test_large_texts_make_small_batches():
    found = batches(records(["x" * (1 << 18)] * 6), rows=100)
    assert [len(batch.rows) for batch in found] == [4, 2]


def test_a_server_that_refuses_a_size_gets_no_larger_one_again():
    size = BatchSize(256)
    size.refused(256)
    size.refused(256)  # several were under way
    assert size.rows == 128
    for _ in range(1000):
        size.answered()
    assert size.rows == 128
    size.refused(1)
    assert size.rows == 1


def test_after_a_slow_time_batches_grow_again():
    size = BatchSize(256)
    size.refused(256)
    size.was_slow(128)
    size.was_slow(64)
    assert size.rows == 32
    for _ in range(1000):
        size.answered()
    assert size.rows == 128


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("at", [0, 10, 30])
def test_reading_a_part_again_finds_the_same_duplicates(at, committed, tmp_path):
    texts = ["x"] * 50
    found = records(texts)
    for repeat, earlier in ((5, 3), (15, 3), (31, 29), (40, 12), (41, 12)):
        found[repeat] = ("f", Record(repeat, f"i{earlier}", "x"))
    found[12] = ("f", Record(12, "i12", ""))  # bad, so that the next one has the id first

    def lines(some):
        return [bad.line for batch in some for bad in batch.bad if "before" in bad.reason]

    with closing(SeenIds(tmp_path / "seen")) as seen:
        assert lines(batches(found, seen=seen)) == [5, 15, 31, 41]
        if committed:
            seen.commit()
    with closing(SeenIds(tmp_path / "seen")) as seen:
        again = batches(found[at:], seen=seen, first=at)
    assert lines(again) == [line for line in (5, 15, 31, 41) if line >= at]


def test_ids_of_a_shard_are_on_the_disk_before_it_is_given_out(tmp_path):
    path = tmp_path / "seen"
    with closing(SeenIds(path)) as seen:
        cutting = cut(records(["x"] * 25), JUDGE, seen, shard_rows=10, size=BatchSize(5))
        for batch in cutting:
            if batch.ends_shard:
                with closing(sqlite3.connect(path)) as other:
                    (count,) = other.execute("SELECT count(*) FROM seen").fetchone()
                assert count >= batch.after


def test_an_index_that_cannot_be_written_is_a_named_error(tmp_path):
    with pytest.raises(UnavailableError, match="index of ids"):
        SeenIds(tmp_path / "missing" / "seen")
    (tmp_path / "seen").write_bytes(b"something else" * 100)
    with pytest.raises(UnavailableError, match="index of ids"):
        SeenIds(tmp_path / "seen")
