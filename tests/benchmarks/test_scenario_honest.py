"""Rows of a scenario when something is wrong with the load: they say so, or say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower.errors import DualtowerError
from dualtower_benchmarks.drivers.grpc_target import GrpcTarget
from dualtower_benchmarks.load.arrivals import constant
from dualtower_benchmarks.load.closed_loop import run_closed_loop
from dualtower_benchmarks.load.open_loop import run_open_loop
from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import OK, ClockError, Samples
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.rows import row_of

STALL_S = 0.4


def row(case: Case, samples: Samples):
    return row_of(
        case,
        LoadRun(samples, "default"),
        {"device": "CPU"},
        repeat=0,
        engine="",
        offered_qps=case.rate_qps or None,
        confidence=0.95,
    )[0]


def even(n: int, *, latency_ms: float = 2.0, lag_ms: float = 0.0) -> Samples:
    due = (np.arange(n) * 1e7).astype(np.int64)
    sent = due + int(lag_ms * 1e6)
    return Samples(due, sent, sent + int(latency_ms * 1e6), np.full(n, OK))


def test_fifty_samples_have_no_p99_and_no_p95() -> None:
    found = row(Case(rate_qps=100.0, warmup_s=0.0), even(50))
    assert found["n"] == 50
    assert found["p50_ms"]["value"] == found["p90_ms"]["value"] == 2.0
    for name in ("p95_ms", "p99_ms", "p99_9_ms", "p99_99_ms"):
        assert found[name] is None
        assert found["effective_n"][name] is None
    assert all(slot["p50_ms"] is None for slot in found["timeline"])


def waited(samples: Samples) -> float:
    """The share of requests that waited for more than half of the stall."""
    return float(np.mean(samples.latency_ns > 0.5 * STALL_S * 1e9))


def test_a_stalling_server_is_seen_in_the_p99_of_an_open_loop(echo_server) -> None:
    """200 requests a second, one stall of 0.4 s: some 80 of 800 are due while it lasts.

    Shares of requests, not the closed loop's own p99: a busy machine stands still on its own.
    """
    server = echo_server(stall_at=200, stall_s=STALL_S)
    with GrpcTarget(server.address, [b"x"], deadline_s=10.0, method=server.METHOD) as client:
        opened = run_open_loop(client, constant(200.0, 4.0), max_in_flight=1000)
    server = echo_server(service_s=0.002, stall_at=200, stall_s=STALL_S)
    with GrpcTarget(server.address, [b"x"], deadline_s=10.0, method=server.METHOD) as client:
        closed = run_closed_loop([client], duration_s=2.0, at_least=370)
    assert waited(opened) > 0.04
    assert 0.0 < waited(closed) < 0.5 * waited(opened)
    # the limit of the lag is that of an SLO of minutes: a busy machine is not what is tested
    shown = row(Case(rate_qps=200.0, warmup_s=0.0, slo_p99_ms=1e6), opened)
    assert shown["void"] is None
    assert shown["p99_ms"]["value"] > 0.8 * STALL_S * 1e3
    # it is one event: requests that waited together are not as many
    assert shown["effective_n"]["p99_ms"] < 0.5 * shown["n"]
    stalled = [slot["p50_ms"] for slot in shown["timeline"] if 0.8 <= slot["t_s"] <= 1.5]
    assert max(filter(None, stalled)) > 0.25 * STALL_S * 1e3


def test_a_generator_that_lags_makes_the_row_void() -> None:
    found = row(Case(rate_qps=100.0, warmup_s=0.0, slo_p99_ms=50.0), even(1000, lag_ms=3.0))
    assert "lag was 3.00 ms, the limit is 2.50 ms" in found["void"]
    assert found["p50_ms"] is None
    assert found["block_s"] is None
    assert found["stationary"] is None


@pytest.mark.parametrize("field", ["sent_ns", "done_ns"])
def test_a_clock_that_goes_backwards_is_refused(field: str) -> None:
    columns = {name: np.array([10, 20, 30]) for name in ("due_ns", "sent_ns", "done_ns")}
    columns[field] = columns[field] - np.array([0, 1, 0])
    with pytest.raises(ClockError, match="the clock went backwards"):
        Samples(**columns, status=np.full(3, OK))
    assert issubclass(ClockError, DualtowerError)  # so that the command says it and exits with 2
