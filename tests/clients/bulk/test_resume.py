"""Runs that are killed at any moment and go on; runs that do not belong together."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

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

from dualtower.errors import UsageError
from dualtower.files import exclusive_lock
from dualtower_clients import ServerFailure
from dualtower_clients.bulk import BulkEmbedder, BulkOptions, Watcher

DYING = Path(__file__).with_name("dying.py")
OPTIONS = {"shard_rows": 40, "batch_rows": 8}


@pytest.fixture(scope="module")
def rows():
    """Good ones, and of each hundred some bad ones and some twice."""
    found = items(330)
    for at in range(7, 330, 40):
        found[at] = (f"i{at}", "")
    for at in range(60, 330, 50):
        found[at] = (f"i{at - 45}", f"item number {at}")
    return found


@pytest.fixture(scope="module")
def good(rows):
    kept = {}
    for item_id, text in rows:
        if text and item_id not in kept:
            kept[item_id] = text
    return kept


@pytest.fixture(scope="module")
def wanted(direct, good):
    return embedded(direct, list(good.values()))


@pytest.fixture
def source(rows, tmp_path):
    return write_jsonl(tmp_path / "items.jsonl", rows)


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_step_on_the_disk_goes_on(served, direct, tmp_path):
    """Killed before each fsync, rename and removal in turn; each time a second run completes it."""
    source = write_jsonl(tmp_path / "items.jsonl", [*items(25), ("i3", "again"), ("i25", "")])
    options = json.dumps({"shard_rows": 10, "batch_rows": 6})
    command = [sys.executable, DYING, served.address, source, tmp_path, options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    killed = int(done.stdout)
    assert killed > 30
    wanted = embedded(direct, [text for _, text in items(25)])
    for step in range(1, killed + 1):
        out = tmp_path / f"out-{step}"
        ids, found = vectors(out)
        assert ids == [item_id for item_id, _ in items(25)]
        assert same(found, wanted)
        assert [one["line"] for one in quarantined(out)] == [26, 27]
        check_whole(out)


def test_a_run_that_is_killed_while_requests_are_under_way_goes_on(
    relay, source, good, wanted, tmp_path
):
    draw = random.Random(7)
    running: list[subprocess.Popen[str]] = []
    at = [0]

    def kill(before, context):
        if before == at[0]:
            os.kill(running[-1].pid, signal.SIGKILL)

    server = relay(kill)
    code = "from dualtower.cli import main; main()"
    arguments = ["--address", server.address, "--in", source, "--out", tmp_path / "out"]
    arguments += ["--shard-rows", "40", "--batch-rows", "8", "--json"]
    deaths = 0
    while not (tmp_path / "out" / "_embed.json").exists():
        at[0] = server.embedded + draw.randint(8, 30)
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, "embed", *arguments], stdout=subprocess.PIPE, text=True
            )
        )
        running[-1].communicate(timeout=60)
        deaths += running[-1].returncode == -signal.SIGKILL
        assert running[-1].returncode in (0, -signal.SIGKILL)
        assert deaths < 60
    assert deaths >= 2
    ids, found = vectors(tmp_path / "out")
    assert ids == list(good)
    assert same(found, wanted)
    check_whole(tmp_path / "out")


def test_a_run_that_is_complete_has_nothing_left_to_do(relay, source, tmp_path):
    server = relay()
    first = run(server.address, source, tmp_path / "out", **OPTIONS)
    asked = server.embedded
    again = run(server.address, source, tmp_path / "out", **OPTIONS)
    assert server.embedded == asked
    assert (again.rows, again.resumed_rows, again.rows_per_s) == (first.rows, 330, 0.0)


def test_another_size_of_requests_may_go_on(relay, source, good, wanted, tmp_path):
    server = relay(lambda before, _: stop() if before > 20 else None)
    with pytest.raises(ServerFailure, match="Stop"):
        run(server.address, source, tmp_path / "out", **OPTIONS)
    server.fault = None
    report = run(
        server.address, source, tmp_path / "out", shard_rows=40, batch_rows=31, max_in_flight=2
    )
    assert report.resumed_rows > 0
    ids, found = vectors(tmp_path / "out")
    assert ids == list(good)
    assert same(found, wanted)
    assert len(quarantined(tmp_path / "out")) == 330 - len(good)


@pytest.mark.parametrize("is_marked", [True, False], ids=["marked", "of before there were marks"])
def test_csv_whose_texts_have_several_lines_goes_on(is_marked, relay, direct, tmp_path):
    rows = [(f"i{n}", f'item "number"\n\n{n}, or so') for n in range(330)]
    source, out = tmp_path / "items.csv", tmp_path / "out"
    with source.open("w", newline="") as stream:
        csv.writer(stream).writerows([("item_id", "text"), *rows])
    server = relay(lambda before, _: stop() if before > 20 else None)
    with pytest.raises(ServerFailure, match="Stop"):
        run(server.address, source, out, **OPTIONS)
    for path in out.glob("_part-*.done.json"):
        done = json.loads(path.read_text())
        mark = done["next_record"]
        before = source.read_bytes()[: mark["offset"]]
        assert before.count(b"\r\n") == done["input_rows"][1] + 1
        assert (mark["file"], mark["line"]) == (0, before.count(b"\n"))
        if not is_marked:
            del done["next_record"]
            path.write_text(json.dumps(done))
    server.fault = None
    report = run(server.address, source, out, **OPTIONS)
    assert report.resumed_rows > 0
    ids, found = vectors(out)
    assert ids == [item_id for item_id, _ in rows]
    assert same(found, embedded(direct, [text for _, text in rows]))
    check_whole(out)


def stop():
    raise RuntimeError("Stop")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shard_rows": 41}, "options shard_rows: 40 then, 41 now"),
        ({"max_text_bytes": 9}, "options max_text_bytes: 65536 then, 9 now"),
        ({"duplicates": "keep"}, "options duplicates: 'quarantine' then, 'keep' now"),
        ({"text_column": "item_id"}, "options content_column: 'text' then, 'item_id' now"),
        ({"model": "user_tower", "history_column": "text"}, "options model: 'item_tower' then"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_options_are_another_run(options, words, served, source, tmp_path):
    run(served.address, source, tmp_path / "out", **OPTIONS)
    with pytest.raises(UsageError, match=words) as caught:
        run(served.address, source, tmp_path / "out", **{**OPTIONS, **options})
    assert "--restart" in str(caught.value)


def test_another_input_is_another_run_unless_it_is_begun_anew(served, source, tmp_path):
    out = tmp_path / "out"
    run(served.address, source, out, **OPTIONS)
    before = {path.name for path in out.iterdir()}
    source.write_text(source.read_text() + '{"item_id": "more", "text": "x"}\n')
    with pytest.raises(UsageError, match=r"inputs 1 size_bytes: .* then, .* now"):
        run(served.address, source, out, **OPTIONS)
    other = write_jsonl(tmp_path / "other.jsonl", items(3))
    with pytest.raises(UsageError, match="inputs: 1 then, 2 now"):
        run(served.address, [source, other], out, **OPTIONS)
    assert {path.name for path in out.iterdir()} == before
    report = run(served.address, source, out, restart=True, shard_rows=200)
    assert (report.shards, report.resumed_rows) == (2, 0)
    assert vectors(out)[0][-1] == "more"
    check_whole(out)


def test_an_input_that_was_touched_is_another_one(served, source, tmp_path):
    run(served.address, source, tmp_path / "out")
    os.utime(source, ns=(0, 12345))
    with pytest.raises(UsageError, match=r"mtime_ns: .* 12345 now"):
        run(served.address, source, tmp_path / "out")


def test_a_folder_of_something_else_is_left_alone(served, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "part-00000.parquet").write_text("somebody's")
    for restart in (False, True):
        with pytest.raises(UsageError, match=r"holds no run .*part-00000\.parquet"):
            run(served.address, source, out, restart=restart)
    assert (out / "part-00000.parquet").read_text() == "somebody's"


def test_a_shard_that_was_changed_is_noticed(relay, source, tmp_path):
    server = relay(lambda before, _: stop() if before > 20 else None)
    with pytest.raises(ServerFailure, match="Stop"):
        run(server.address, source, tmp_path / "out", **OPTIONS)
    part = tmp_path / "out" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"part-00000\.parquet is not what .* says"):
        run(server.address, source, tmp_path / "out", **OPTIONS)


def test_an_index_of_ids_that_is_missing_is_noticed(relay, source, tmp_path):
    server = relay(lambda before, _: stop() if before > 20 else None)
    with pytest.raises(ServerFailure, match="Stop"):
        run(server.address, source, tmp_path / "out", **OPTIONS)
    (tmp_path / "out" / "_seen.sqlite").unlink()
    with pytest.raises(UsageError, match=r"_seen\.sqlite is missing"):
        run(server.address, source, tmp_path / "out", **OPTIONS)


def test_two_runs_at_once_are_excluded(served, relay, source, tmp_path):
    out = tmp_path / "out"
    refused = []

    def second(before, context):
        if before == 3:
            with pytest.raises(UsageError, match="another dualtower is writing") as caught:
                run(served.address, source, out, restart=True, **OPTIONS)
            refused.append(caught.value)

    run(relay(second).address, source, out, **OPTIONS)
    assert len(refused) == 1
    check_whole(out)
    with exclusive_lock(out / "_lock"), pytest.raises(UsageError, match="another dualtower"):
        run(served.address, source, out, **OPTIONS)


def test_a_run_that_is_interrupted_leaves_what_is_complete(relay, source, tmp_path):
    running: list[subprocess.Popen[str]] = []

    def interrupt(before, context):
        if before == 20:
            running[0].send_signal(signal.SIGINT)

    server = relay(interrupt)
    out = tmp_path / "out"
    arguments = ["--address", server.address, "--in", source, "--out", out]
    arguments += ["--shard-rows", "40", "--batch-rows", "8"]
    # a shell starts what runs in its background with this signal ignored, tests with it
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = heard + "from dualtower.cli import main; main()"
    command = [sys.executable, "-c", code, "embed", *arguments]
    running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    _, said = running[0].communicate(timeout=60)
    assert (running[0].returncode, said.splitlines()[-1]) == (130, "stopped")
    assert "Traceback" not in said
    assert not list(out.glob(".part-*"))
    assert 1 <= len(list(out.glob("_part-*.done.json"))) < 9


class Counting(Watcher):
    """Keeps what it is told."""

    def __init__(self):
        self.begun, self.moved = [], 0

    def begins(self, total_rows, done_rows):
        self.begun.append((total_rows, done_rows))

    def moves(self, rows, note):
        self.moved += rows


def test_a_watcher_is_told_what_is_done_and_what_is_left(relay, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", [*items(90), ("i90", "")])
    server = relay(lambda before, _: stop() if before > 7 else None)
    embedder = BulkEmbedder(server.address, options=BulkOptions(**OPTIONS))
    first, second = Counting(), Counting()
    with pytest.raises(ServerFailure, match="Stop"):
        embedder.run([source], tmp_path / "out", watcher=first)
    server.fault = None
    report = embedder.run([source], tmp_path / "out", watcher=second)
    assert first.begun == [(91, 0)]
    assert second.begun == [(91, report.resumed_rows)]
    assert second.moved == 91 - report.resumed_rows
