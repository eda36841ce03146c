"""Overload of a queue whose truth is known: one that collapses is called so, another is not."""

from __future__ import annotations

import numpy as np
import pytest
from doctored import S, overload, samples

from dualtower_benchmarks.events.goodput import COLLAPSES, HOLDS, goodput_of, judged
from dualtower_benchmarks.events.overload import MOST_GENERATOR_CORES, busy_reason, phases_ns
from dualtower_benchmarks.events.recovery import recovered_s
from dualtower_benchmarks.events.table import verdict_words


def test_a_server_that_works_for_callers_who_are_gone_collapses() -> None:
    found, _ = overload(drops=False)
    assert found["verdict"] == COLLAPSES
    assert found["goodput_share"] < 0.5
    assert "collapses" in verdict_words(found)
    assert found["recovery"]["until_good_s"] is None  # 10 s of queue, of which it works off half


def test_a_server_that_drops_them_holds() -> None:
    found, _ = overload(drops=True)
    assert found["verdict"] == HOLDS
    assert found["goodput_share"] > 0.95
    assert found["recovery"]["until_good_s"] < 1.0


def test_every_request_is_counted_once() -> None:
    status = ["OK", "OK", "OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL",
              "DEADLINE_EXCEEDED", "SKIPPED"]  # fmt: skip
    latency_ms = [10, 49, 51, 1, 1, 1, 50, 0]
    found = goodput_of(samples(np.arange(8.0), latency_ms, status), seconds=2.0, deadline_ms=50.0)
    assert found["good"] == 2
    assert found["goodput_qps"] == 1.0
    assert found["late"] == 2
    assert found["rejected"] == {"UNAVAILABLE": 1, "RESOURCE_EXHAUSTED": 1}
    assert found["failed"] == {"INTERNAL": 1}
    assert found["skipped"] == 1
    assert found["due"] == 8
    assert found["offered_qps"] == 4.0


def step(goodput_qps: float | None, void: str | None = None) -> dict:
    return {"goodput_qps": goodput_qps, "void": void}


def test_the_floor_is_the_line_and_a_void_load_gives_no_verdict() -> None:
    assert judged([step(100.0), step(80.0)], floor=0.8)["verdict"] == HOLDS
    assert judged([step(100.0), step(79.9)], floor=0.8)["verdict"] == COLLAPSES
    assert judged([step(100.0), step(None, "lag")], floor=0.8)["verdict"] is None
    assert judged([step(None, "lag"), step(100.0)], floor=0.8)["verdict"] == HOLDS
    assert judged([step(0.0), step(0.0)], floor=0.8)["verdict"] is None


def test_recovery_is_the_first_good_second() -> None:
    due_s = np.arange(0, 10, 0.01)
    seen = samples(due_s, np.where(due_s < 3.25, 90.0, 5.0))
    # the second from 3.3 s on is good; that from 3.2 s has 5 % above the SLO
    assert recovered_s(seen, from_ns=2 * S, until_ns=10 * S, slo_ms=50.0) == pytest.approx(1.3)
    assert recovered_s(seen, from_ns=5 * S, until_ns=10 * S, slo_ms=50.0) == 0.0
    assert recovered_s(seen, from_ns=0, until_ns=3 * S, slo_ms=50.0) is None
    failing = samples(due_s, 5.0, np.where(due_s < 6, "UNAVAILABLE", "OK"))
    assert recovered_s(failing, from_ns=0, until_ns=10 * S, slo_ms=50.0) == pytest.approx(6.0)
    assert recovered_s(samples([], []), from_ns=0, until_ns=5 * S, slo_ms=50.0) is None


def test_phases_follow_each_other() -> None:
    due_ns = phases_ns([(1000.0, 4.0), (100.0, 10.0)], seed=1)
    assert due_ns[0] == 0
    assert (np.diff(due_ns) >= 0).all()
    first = np.count_nonzero(due_ns < 4 * S)
    assert abs(first - 4000) < 5 * 4000**0.5
    assert abs(len(due_ns) - first - 1000) < 5 * 1000**0.5


def test_a_generator_that_is_busy_itself_makes_a_load_void() -> None:
    assert busy_reason(None) is None
    assert busy_reason(MOST_GENERATOR_CORES) is None
    assert "the generator took 0.97 cores" in str(busy_reason(0.97))
