"""`dualtower bench faults`: every fault for real once, and the judge on clients that do wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import jsonschema
import pytest

from dualtower.cli import main
from dualtower.errors import UnavailableError, UsageError
from dualtower_benchmarks.faults import catalogue, kinds
from dualtower_benchmarks.faults.catalogue import FAULTS, FaultBench, measure_faults
from dualtower_benchmarks.faults.judge import complaints_of
from dualtower_benchmarks.faults.kinds import KINDS, Load
from dualtower_benchmarks.faults.load import fire
from dualtower_benchmarks.faults.question import SUM
from dualtower_benchmarks.faults.row import Row, together
from dualtower_benchmarks.faults.servers import ServerProcess
from dualtower_benchmarks.faults.sizes import Sizes
from dualtower_benchmarks.faults.table import fault_tables
from dualtower_benchmarks.schema.layout import schema_of
from dualtower_clients import AsyncServingClient, ServerUnreachable, ServingClient

RUN = "from dualtower.cli import main; main()"  # in a process that has done nothing before
NAMED = {
    "server killed and restarted": {"ServerUnreachable", "DeadlineExceeded"},
    "one of two replicas killed": set(),
    "DNS change": {"ServerUnreachable", "DeadlineExceeded"},
    "half-open from the first byte": {"ServerUnreachable", "DeadlineExceeded"},
    "half-open under load": {"ServerUnreachable", "DeadlineExceeded"},
    "deadline storm": {"DeadlineExceeded"},
    "version swap under load": set(),
    "pair swapped by halves": {"BundleMismatch"},
    "server replaced by another bundle's": {
        "ServerUnreachable",
        "ModelNotFound",
        "DeadlineExceeded",
        "BundleMismatch",
    },
    "answers of 8 MiB, no limit": set(),
    "answers of 8 MiB, limit 1 MiB": {"RequestError"},
    "garbage in place of messages": {"ResponseError"},
    "garbage in place of HTTP/2": {"ServerUnreachable", "DeadlineExceeded"},
    # the second where a busy machine is too late with the words by which the client tells
    "wrong TLS, five cases": {"TlsError", "ServerUnreachable"},
    "cancelled tasks": {"CancelledError"},
    "client closed under load": {"CallCancelled"},
    "fork after use: the child": {"ForkedClient"},
}


@pytest.mark.slow
def test_every_fault_comes_about_and_all_that_fails_has_a_name():
    done = subprocess.run(
        [sys.executable, "-c", RUN, "bench", "faults", "--quick", "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    document = json.loads(done.stdout)
    jsonschema.Draft202012Validator(schema_of("faults")).validate(document)
    assert document["complaints"] == [], done.stderr
    assert done.returncode == 0, done.stderr
    rows = document["rows"]
    for client in KINDS:
        seen = {row["fault"] for row in rows if row["client"] == client}
        assert len(seen) == len([row for row in rows if row["client"] == client])
        assert len(seen) >= 20
    for row in rows:
        assert row["calls"] == row["answered"] + sum(row["failed"].values()), row
        # a machine that is busy enough lets any deadline pass
        allowed = NAMED.get(row["fault"], set()) | {"DeadlineExceeded"}
        assert set(row["failed"]) <= allowed, row
        assert all(row["proofs"].values()), row
        for name in ("p50_ms", "p99_ms"):
            assert row[name] is None or row[name]["n"] == row["answered"]
        assert row["p99_ms"] is None or row["answered"] >= 368
    assert document["machine"]["usable_cores"] >= 1
    table, replicas, complaints = fault_tables(document)
    assert len(table.rows) == len(rows)
    assert len(replicas.rows) == 14
    assert complaints.rows == [["none"]]


@pytest.fixture(scope="module")
def fake():
    with ServerProcess().wait() as server:
        with ServingClient(server.address) as client:  # what gRPC opens once, for good
            client.predict("m", {"x": [1]})
        yield server


@pytest.fixture(autouse=True)
def _no_long_wait(monkeypatch):
    monkeypatch.setattr("dualtower_benchmarks.faults.census._SETTLE_S", 1.0)


def judged(fake, client, calls: int = 3, **load) -> tuple[Row, list[str]]:
    kind = "asyncio" if issubclass(client, AsyncServingClient) else "threads"
    row = fire(
        "doctored",
        KINDS[kind],
        lambda: client(fake.address),
        SUM,
        Load(**{"callers": 2, "timeout_s": 2.0, "calls": calls, **load}),
        servers="a fake",
    )
    return row, complaints_of(row)


@pytest.mark.parametrize("client", [ServingClient, AsyncServingClient])
def test_a_client_that_does_well_has_no_complaint(fake, client):
    row, complaints = judged(fake, client)
    assert complaints == []
    assert (row.calls, row.answered) == (6, 6)
    assert row.p99_ms is None, "six answers have no p99"
    assert row.p50_ms is not None


def test_a_wrong_answer_is_caught(fake):
    class Confused(ServingClient):
        def predict(self, model, inputs, **named):
            return super().predict(model, {"x": inputs["x"] + 1}, **named)

    row, complaints = judged(fake, Confused)
    assert row.wrong == 6
    assert complaints == ["doctored, threads: 6 wrong answers"]


def test_an_answer_that_cannot_be_checked_is_wrong(fake):
    class Empty(ServingClient):
        def predict(self, model, inputs, **named):
            return None

    assert judged(fake, Empty)[0].wrong == 6


def test_an_error_without_a_name_is_caught(fake):
    class Leaky(ServingClient):
        def predict(self, model, inputs, **named):
            raise KeyError(model)

    row, complaints = judged(fake, Leaky)
    assert row.unnamed == {"KeyError": 6}
    assert complaints == ["doctored, threads: 6 failures without a name: KeyError"]


def test_a_cancellation_that_nobody_asked_for_has_no_name(fake):
    import asyncio

    class Cancelling(AsyncServingClient):
        async def predict(self, model, inputs, **named):
            raise asyncio.CancelledError

    row, complaints = judged(fake, Cancelling)
    assert row.unnamed == {"CancelledError": 6}
    assert len(complaints) == 1


def test_a_named_error_is_no_complaint(fake):
    class Unlucky(ServingClient):
        def predict(self, model, inputs, **named):
            raise ServerUnreachable("gone")

    row, complaints = judged(fake, Unlucky)
    assert row.failed == {"ServerUnreachable": 6}
    assert complaints == []


def test_an_answer_long_after_its_deadline_is_caught(fake):
    class Late(ServingClient):
        def predict(self, model, inputs, **named):
            time.sleep(1.15)
            return super().predict(model, inputs, **named)

    row, complaints = judged(fake, Late, calls=1, timeout_s=0.1)
    assert 1000 < row.longest_past_deadline_ms < 60_000
    assert "past its deadline" in complaints[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_never_ends_is_caught(fake, kind):
    import threading

    release = threading.Event()

    class Stuck(ServingClient):
        def predict(self, model, inputs, **named):
            release.wait(30)

    class AsyncStuck(AsyncServingClient):  # and the event loop with it
        async def predict(self, model, inputs, **named):
            release.wait(30)

    client = {"threads": Stuck, "asyncio": AsyncStuck}[kind]
    before = threading.active_count()
    row, complaints = judged(fake, client, timeout_s=0.1, give_up_s=0.5)
    release.set()
    while threading.active_count() > before:  # the next test counts them
        time.sleep(0.01)
    assert row.hung >= 1
    assert any("never ended" in complaint for complaint in complaints)
    assert any("threads left after close" in complaint for complaint in complaints)


def test_what_is_left_after_close_is_caught(fake):
    kept: list[ServingClient] = []

    class Open(ServingClient):
        def close(self):
            if self not in kept:
                kept.append(self)

    row, complaints = judged(fake, Open)
    for client in kept:
        ServingClient.close(client)
    assert row.leaked["channels"] >= 1
    assert row.leaked["descriptors"] >= 1
    assert [complaint.endswith("left after close") for complaint in complaints]
    assert complaints


def test_a_task_that_goes_on_after_close_is_caught(fake, monkeypatch):
    import asyncio

    monkeypatch.setattr(kinds, "_LINGERING_S", 0.1)

    class Restless(AsyncServingClient):
        async def close(self):
            self.going_on = asyncio.ensure_future(asyncio.sleep(60))
            await super().close()

    row, complaints = judged(fake, Restless)
    assert row.leaked["tasks"] == 1
    assert complaints == ["doctored, asyncio: 1 tasks left after close"]


def test_a_fault_that_did_not_come_about_is_caught(fake):
    row, _ = judged(fake, ServingClient)
    complaints = complaints_of(replace(row, proofs={"kills": 3, "failures": 0}))
    assert complaints == ["doctored, threads: the fault did not come about: no failures"]


def test_calls_without_an_end_are_caught(fake):
    row, _ = judged(fake, ServingClient)
    assert complaints_of(replace(row, calls=7)) == [
        "doctored, threads: 7 calls were begun, 6 have an end"
    ]
    assert complaints_of(replace(row, calls=5))


def test_several_loads_add_up_to_a_row(fake):
    row, _ = judged(fake, ServingClient)
    other = replace(row, failed={"TlsError": 2}, calls=8, longest_past_deadline_ms=3.0, hung=0)
    both = together([row, other])
    assert (both.calls, both.answered, both.failed) == (14, 12, {"TlsError": 2})
    assert both.longest_past_deadline_ms == 3.0
    assert both.p50_ms is None
    assert complaints_of(both) == []


def test_a_complaint_is_exit_1_and_stands_below_the_table(monkeypatch, capsys):
    def wrong(kind: kinds.Kind, sizes: Sizes) -> list[Row]:
        return [Row("doctored", kind.name, "none", 1.0, 2, 1, 1, {}, {}, 0, None, None, None, {})]

    monkeypatch.setitem(catalogue.FAULTS, "threads", (wrong, ("threads",)))
    with pytest.raises(SystemExit) as stop:
        main(["bench", "faults", "--only", "threads"])
    assert stop.value.code == 1
    assert "doctored, threads: 1 wrong answers" in capsys.readouterr().out


def test_a_fault_that_cannot_be_made_is_a_complaint_and_the_others_go_on(monkeypatch):
    def missing(kind: kinds.Kind, sizes: Sizes) -> list[Row]:
        raise UnavailableError("trustme is not installed")

    monkeypatch.setitem(catalogue.FAULTS, "tls", (missing, ("asyncio",)))
    document = measure_faults(FaultBench(("tls", "threads"), Sizes().quick()))
    assert document["complaints"] == ["tls, asyncio: trustme is not installed"]
    assert [row["fault"] for row in document["rows"]] == ["24 threads on one client"]


def test_an_unknown_fault_names_the_nearest_one(capsys):
    with pytest.raises(UsageError, match="did you mean 'storm'"):
        FaultBench(only=("strom",))
    with pytest.raises(SystemExit) as stop:
        main(["bench", "faults", "--only", "nothing"])
    assert stop.value.code == 2


def test_the_command_has_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "faults", "--help"])
    assert stop.value.code == 0
    assert "Example: dualtower bench faults" in capsys.readouterr().out
    assert len(FAULTS) == 17


def test_one_fault_alone(capsys):
    document = measure_faults(FaultBench(("garbage",), Sizes().quick()))
    assert document["complaints"] == []
    assert {row["fault"] for row in document["rows"]} == {
        "garbage in place of messages", "garbage in place of HTTP/2",
    }  # fmt: skip
