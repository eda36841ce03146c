"""Several servers for one run: they share the work, lose no row, and never mix two spaces."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from bulk_runs import check_whole, items, run, same, vectors, write_jsonl

from dualtower.errors import UsageError
from dualtower_clients import BundleMismatch, ServerUnreachable
from dualtower_clients.bulk import BulkEmbedder, BulkOptions, Watcher
from dualtower_clients.testing import FakeServer, hash_vectors

ROWS = items(600)
CATALOGUE = dict(items(8))
OPTIONS = {"batch_rows": 10, "shard_rows": 100, "max_in_flight": 4}


@pytest.fixture
def source(tmp_path):
    return write_jsonl(tmp_path / "items.jsonl", ROWS)


@pytest.fixture
def pair_of():
    """Two servers, each with a bundle of this salt in version 1."""
    started: list[FakeServer] = []

    def start(first: str, second: str) -> list[FakeServer]:
        for salt in (first, second):
            started.append(FakeServer.with_bundle(CATALOGUE, salt=salt))
            started[-1].start()
        return started[-2:]

    yield start
    for one in started:
        one.stop()


class At(Watcher):
    """Does something once, when so many rows are written."""

    def __init__(self, rows, act):
        self._left, self._act = rows, act

    def moves(self, rows, note):
        self._left -= rows
        if self._left <= 0 and self._act:
            act, self._act = self._act, None
            act()


class Slow(At):
    """Takes so long that a newcomer is tried again before the end."""

    def moves(self, rows, note):
        super().moves(rows, note)
        time.sleep(0.02)


def embed(servers, source, out, watcher=None, **options):
    embedder = BulkEmbedder(
        [one.address for one in servers], options=BulkOptions(**{**OPTIONS, **options})
    )
    return embedder.run([source], out, watcher=watcher)


def embedded(server: FakeServer) -> int:
    return sum(one.model == "item_tower" and one.signature != "describe" for one in server.calls)


def check(out, rows=600, salt="a"):
    """The first rows are there in their order, and all vectors are of one space."""
    ids, found = vectors(out)
    assert ids == [item_id for item_id, _ in ROWS[:rows]]
    assert same(found, hash_vectors([text for _, text in ROWS[:rows]], dim=16, salt=salt))


def test_servers_share_the_work(pair_of, source, tmp_path):
    servers = pair_of("a", "a")
    report = embed(servers, source, tmp_path / "out")
    check(tmp_path / "out")
    check_whole(tmp_path / "out")
    assert all(embedded(one) >= 10 for one in servers)
    assert (report.rows, report.versions) == (600, (1,))


@pytest.mark.parametrize("rows", [10, 150, 590], ids=lambda rows: f"after {rows}")
def test_a_server_that_is_killed_on_the_way_costs_no_row(rows, pair_of, source, tmp_path):
    steady, dying = pair_of("a", "a")
    embed([steady, dying], source, tmp_path / "out", At(rows, dying.stop))
    check(tmp_path / "out")
    check_whole(tmp_path / "out")


def test_a_server_that_dies_between_its_answer_and_the_question_whose_it_is(
    pair_of, source, tmp_path
):
    """It embeds, and never says a word of itself again: what it embeds is worth nothing."""
    steady, silent = pair_of("a", "a")

    def hush():
        silent.fail("UNAVAILABLE", "lost", model="item_tower", signature="describe")
        silent.fail("UNAVAILABLE", "lost once", share=0.5)

    embed([steady, silent], source, tmp_path / "out", At(100, hush))
    check(tmp_path / "out")
    check_whole(tmp_path / "out")


def test_each_of_them_may_be_killed_and_come_back(pair_of, source, tmp_path):
    servers = pair_of("a", "a")

    class Rolling(Watcher):
        """Restarts one after the other, a hundred rows apart."""

        def __init__(self):
            self._rows = self.restarts = 0

        def moves(self, rows, note):
            self._rows += rows
            if self._rows >= 100 * (self.restarts + 1):
                server = servers[self.restarts % 2]
                server.stop()
                server.start()
                self.restarts += 1

    rolling = Rolling()
    embed(servers, source, tmp_path / "out", rolling)
    assert rolling.restarts >= 4
    check(tmp_path / "out")
    check_whole(tmp_path / "out")


def test_one_that_is_not_there_yet_is_taken_in_when_it_comes(pair_of, source, tmp_path):
    steady, late = pair_of("a", "a")
    late.stop()
    late.calls.clear()
    embed([steady, late], source, tmp_path / "out", Slow(100, late.start))
    assert embedded(late) > 0
    check(tmp_path / "out")


def test_nobody_there_is_an_error(pair_of, source, tmp_path):
    servers = pair_of("a", "a")
    for one in servers:
        one.stop()
    with pytest.raises(ServerUnreachable, match="dualtower serve"):
        embed(servers, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_servers_of_two_bundles_are_refused_and_both_are_named(pair_of, source, tmp_path):
    servers = pair_of("a", "b")
    with pytest.raises(BundleMismatch, match="one bundle at all addresses") as caught:
        embed(servers, source, tmp_path / "out")
    assert all(one.address in str(caught.value) for one in servers)
    assert not any(map(embedded, servers))
    assert not (tmp_path / "out").exists()


def test_a_late_one_with_another_bundle_ends_the_run_unmixed(pair_of, source, tmp_path):
    steady, late = pair_of("a", "b")
    late.stop()
    with pytest.raises(BundleMismatch, match="--restart") as caught:
        embed([steady, late], source, tmp_path / "out", Slow(150, late.start), shard_rows=10)
    assert late.address in str(caught.value)
    check(tmp_path / "out", rows=len(vectors(tmp_path / "out")[0]))


def test_one_that_comes_back_with_another_bundle_ends_the_run_unmixed(pair_of, source, tmp_path):
    """Its version stays the same; only the loss of its connection, or its word, tells."""
    steady, changing = pair_of("a", "a")

    def change():
        changing.stop()
        changing.add_bundle(CATALOGUE, salt="b")
        changing.start()

    with pytest.raises(BundleMismatch, match="--restart"):
        embed([steady, changing], source, tmp_path / "out", At(250, change))
    rows = len(vectors(tmp_path / "out")[0])
    assert 200 <= rows < 600
    check(tmp_path / "out", rows=rows)
    # without it the run goes on, since the first one still has the bundle
    embed([steady], source, tmp_path / "out")
    check(tmp_path / "out")
    check_whole(tmp_path / "out")


def test_after_a_silence_a_server_is_asked_again(relay, tmp_path):
    server = relay(lambda before, context: time.sleep(1.1) if before == 2 else None)
    source = write_jsonl(tmp_path / "items.jsonl", items(40))
    run(server.address, source, tmp_path / "out", batch_rows=8, max_in_flight=1)
    assert server.described == 3 + 1 + 1  # on connecting, after the silence, before the shard


def test_several_addresses_of_a_command(pair_of, source, tmp_path):
    servers = pair_of("a", "a")
    arguments = ["--in", str(source), "--out", str(tmp_path / "out"), "--json"]
    for one in servers:
        arguments += ["--address", one.address]
    done = subprocess.run(
        [sys.executable, "-c", "from dualtower.cli import main; main()", "embed", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 600
    check(tmp_path / "out")


@pytest.mark.parametrize("address", [[], "", [""], [None], None, 8500], ids=repr)
def test_what_is_no_address_is_refused(address, source, tmp_path):
    with pytest.raises(UsageError, match="address"):
        run(address, source, tmp_path / "out")


def test_the_same_address_twice_is_one_server(pair_of, source, tmp_path):
    server, _ = pair_of("a", "a")
    embed([server, server], source, tmp_path / "out")
    described = sum(one.signature == "describe" for one in server.calls)
    assert described < 3 + 2 * 7
    assert np.isfinite(vectors(tmp_path / "out")[1]).all()
