"""Both loops against a real server: what each sees of a stall, of errors, of a full house."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from dualtower.errors import UnavailableError
from dualtower_benchmarks.drivers.grpc_target import GrpcTarget
from dualtower_benchmarks.load.arrivals import constant
from dualtower_benchmarks.load.closed_loop import run_closed_loop
from dualtower_benchmarks.load.open_loop import run_open_loop
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.rows import void_reason
from dualtower_benchmarks.stats.percentiles import nearest_rank

STALL_S = 0.5


def target(server, payloads=(b"x",), *, deadline_s: float = 10.0) -> GrpcTarget:
    return GrpcTarget(server.address, list(payloads), deadline_s=deadline_s, method=server.METHOD)


def test_closed_loop_hides_the_stall_that_the_open_loop_shows(echo_server) -> None:
    """A known truth: 200 requests a second, 2 ms of service, one stall of half a second.

    About a quarter of two seconds' requests are due while the server stands still or catches up.
    The closed loop has one request in flight, so exactly one sees the stall.
    """
    server = echo_server(service_s=0.002, stall_at=100, stall_s=STALL_S)
    with target(server) as client:
        closed = run_closed_loop([client], duration_s=2.0)
    server = echo_server(service_s=0.002, stall_at=100, stall_s=STALL_S)
    with target(server) as client:
        opened = run_open_loop(client, constant(200.0, 2.0), max_in_flight=1000)

    slow_ns = int(STALL_S / 4 * 1e9)
    closed_slow = int((closed.latency_ns > slow_ns).sum())
    open_slow = int((opened.latency_ns > slow_ns).sum())
    assert closed.latency_ns.max() > STALL_S * 1e9
    assert closed_slow <= 0.02 * len(closed)
    assert open_slow >= 0.1 * len(opened)
    assert nearest_rank(closed.latency_ns, 0.9) < slow_ns < nearest_rank(opened.latency_ns, 0.9)
    # the generator did not stand still with the server
    assert opened.skipped == 0
    assert len(opened) == 400


def test_closed_loop_keeps_one_request_per_client_in_flight(echo_server) -> None:
    server = echo_server(service_s=0.005)
    with target(server) as one, target(server) as two:
        samples = run_closed_loop([one, two], duration_s=0.5, warmup_s=0.2)
    begin, end = samples.sent_ns, samples.done_ns
    overlap = [int(((begin <= instant) & (instant < end)).sum()) for instant in begin]
    assert max(overlap) == 2
    assert not samples.errors
    # the warm-up is in the server's count and not in ours
    assert 0 < len(samples) < server.received


def test_errors_are_counted_by_name_and_have_no_latency(echo_server) -> None:
    server = echo_server()
    with target(server, [b"x", b"refuse"]) as client:
        closed = run_closed_loop([client], duration_s=0.3)
        opened = run_open_loop(client, constant(100.0, 0.5), max_in_flight=50)
    for samples in (closed, opened):
        assert set(samples.errors) == {"INVALID_ARGUMENT"}
        assert len(samples.latency_ns) + samples.errors["INVALID_ARGUMENT"] == len(samples)


def test_a_deadline_is_an_error_of_its_own(echo_server) -> None:
    server = echo_server(service_s=0.5)
    with target(server, deadline_s=0.05) as client:
        opened = run_open_loop(client, constant(100.0, 0.1), max_in_flight=100)
    assert opened.errors == {"DEADLINE_EXCEEDED": len(opened)}
    assert void_reason(opened, slo_p99_ms=1e9) == "no request was answered"


def test_open_loop_counts_what_it_could_not_send(echo_server) -> None:
    server = echo_server(service_s=0.05)
    with target(server) as client:
        samples = run_open_loop(client, constant(200.0, 0.5), max_in_flight=3)
    assert samples.skipped > 0
    assert len(samples) == 100
    assert len(samples.latency_ns) == 100 - samples.skipped
    assert not samples.errors


class SlowToSend:
    """A target whose sending itself takes long: the generator falls behind its schedule."""

    def call(self, index: int) -> str:
        return "OK"

    def send(self, index: int, done: Callable[[str], None]) -> None:
        time.sleep(0.02)
        done("OK")


def test_a_generator_that_lags_voids_its_run() -> None:
    samples = run_open_loop(SlowToSend(), constant(200.0, 0.5), max_in_flight=1000)
    assert nearest_rank(samples.lag_ns, 0.99) > 100e6
    reason = void_reason(samples, slo_p99_ms=100.0)
    assert reason is not None
    assert "lag" in reason


def test_a_target_that_breaks_is_raised_not_hidden() -> None:
    class Broken(SlowToSend):
        def call(self, index: int) -> str:
            raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        run_closed_loop([Broken(), Broken()], duration_s=0.1)


def test_nothing_sent_is_void() -> None:
    nothing = Samples.none()
    assert len(nothing.lag_ns) == 0
    assert nothing.elapsed_s == 0.0
    assert void_reason(nothing, slo_p99_ms=1e9) == "no request was answered"


def test_a_clock_that_runs_backwards_is_refused() -> None:
    now = np.array([100], dtype=np.int64)
    with pytest.raises(ValueError, match="before it was"):
        Samples(now, now, now - 1, np.array(["OK"]))
    with pytest.raises(ValueError, match="before it was"):
        Samples(now, now - 1, now, np.array(["OK"]))


def test_a_server_that_is_not_there_says_what_to_do() -> None:
    with (
        GrpcTarget("127.0.0.1:1", [b"x"], deadline_s=0.2) as client,
        pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 does not answer"),
    ):
        client.first_answer()
    with pytest.raises(ValueError, match="at least one request"):
        GrpcTarget("127.0.0.1:1", [], deadline_s=1.0)
