"""Servers whose limit is known: latencies by Lindley's recursion, the rate found against it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dualtower.errors import UnavailableError, UsageError
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.find import find_limit
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.run import LoadRun, run_load
from dualtower_benchmarks.load.samples import OK, SKIPPED, Samples
from dualtower_benchmarks.mlperf.stalling import StallingDriver, Stalls, departures_ns

SERVICE_S, SLO_MS = 0.002, 8.0
CASE = LimitCase(slo_ms=SLO_MS, probe_s=20.0, warmup_s=1.0, resolution=0.05, votes=3)


def served(
    load: Load, *, service_s: float = SERVICE_S, lag_s: float = 0.0, fails_above: float = math.inf
) -> LoadRun:
    """What a server that takes requests one by one makes of a load, without waiting for it."""
    if load.loop == "closed":
        count = int(load.duration_s / service_s)
        done = (np.arange(1, count + 1) * service_s * 1e9).astype(np.int64)
        due = done - int(service_s * 1e9)
        return LoadRun(Samples(due, due, done, np.full(count, OK)), "virtual")
    due = load.schedule_ns()
    sent = due + int(lag_s * 1e9)
    done = departures_ns(sent, np.full(len(due), round(service_s * 1e9)))
    status = np.full(len(due), OK, dtype="<U9")
    if (load.rate_qps or 0.0) > fails_above:
        status[:: len(due) // 7] = "CANCELLED"
    return LoadRun(Samples(due, sent, done, status), "virtual")


def true_limit_qps(service_s: float, slo_ms: float, q: float) -> float:
    """Where the percentile of a long M/D/1 queue crosses the SLO, by a grid of rates.

    The waits come from the running minimum of the walk (Lindley), not from the recursion.
    """
    generator = np.random.default_rng(99)
    gaps, takes = generator.exponential(1.0, 1_000_000), service_s
    fine = np.linspace(0.3, 0.99, 139) / service_s
    held = []
    for rate in fine:
        walk = np.concatenate([[0.0], np.cumsum(takes - gaps[1:] / rate)])
        waits = walk - np.minimum.accumulate(walk)
        held.append(np.quantile(waits + takes, q) * 1e3 <= slo_ms)
    return float(fine[held.index(False) - 1])


def found(case: LimitCase, measure: Any, *, seed: int = 3) -> dict[str, Any]:
    return find_limit(case, measure, seed=seed, confidence=0.95, attempts=2)


def test_the_rate_is_that_of_the_queue() -> None:
    truth = true_limit_qps(SERVICE_S, SLO_MS, 0.99)
    assert 200 < truth < 300
    row = found(CASE, served)
    assert row["limit_qps"] == pytest.approx(truth, rel=0.08)
    assert row["confirmed"]
    assert row["complete"]
    assert row["limit_qps"] < row["broke_qps"] <= 1.05 * row["limit_qps"]
    assert row["why"] in ("latency", "growth")
    assert row["calibrated_qps"] == pytest.approx(1 / SERVICE_S, rel=0.02)
    assert len({probe["seed"] for probe in row["probes"]}) == len(row["probes"])


def test_a_queue_that_grows_has_no_limit_rate_however_wide_the_slo() -> None:
    case = LimitCase(slo_ms=5000.0, probe_s=20.0, resolution=0.1, votes=1)
    row = found(case, served)
    assert 400 < row["limit_qps"] < 1 / SERVICE_S * 1.02
    assert row["why"] == "growth"


def test_an_error_breaks_and_a_share_of_them_may_be_allowed() -> None:
    def failing(load: Load) -> LoadRun:
        return served(load, fails_above=200.0)

    case = LimitCase(slo_ms=SLO_MS, probe_s=5.0, resolution=0.1, votes=1)
    row = found(case, failing)
    assert row["why"] == "errors"
    assert 180 < row["limit_qps"] <= 200
    allowed = found(LimitCase(**{**case.as_json(), "max_error_share": 0.05}), failing)
    assert allowed["limit_qps"] > 200
    assert allowed["why"] in ("latency", "growth")


def test_a_generator_that_lags_is_not_taken_for_the_server() -> None:
    def lagging(load: Load) -> LoadRun:
        return served(load, lag_s=0.001 if (load.rate_qps or 0.0) > 150 else 0.0)

    case = LimitCase(slo_ms=SLO_MS, probe_s=5.0, resolution=0.1, votes=1)
    row = found(case, lagging)
    assert row["why"] == "generator"
    assert row["broke_qps"] is None
    assert row["limit_qps"] <= 150 < row["void_qps"]
    assert all(probe["verdict"] == "void" for probe in row["probes"] if probe["offered_qps"] > 150)


def test_requests_that_were_skipped_are_the_reason() -> None:
    def full(load: Load) -> LoadRun:
        run = served(load)
        if load.loop == "closed" or (load.rate_qps or 0.0) < 300:
            return run
        one = run.samples
        status = one.status.copy()
        status[-3:] = SKIPPED
        instants = (np.where(status == SKIPPED, one.due_ns, x) for x in (one.sent_ns, one.done_ns))
        return LoadRun(Samples(one.due_ns, *instants, status), "virtual")

    case = LimitCase(slo_ms=100.0, probe_s=5.0, resolution=0.1, votes=1)
    row = found(case, full)
    assert row["why"] == "skipped"
    assert 270 < row["limit_qps"] < 300


def test_a_high_percentile_makes_slow_probes_longer_or_is_refused() -> None:
    case = LimitCase(
        slo_ms=30.0,
        slo_percentile=0.999,
        probe_s=2.0,
        longest_probe_s=60.0,
        resolution=0.2,
        votes=1,
    )
    row = found(case, served)
    assert all(probe["n"] >= 3688 and probe["level_ms"] for probe in row["probes"])
    assert max(probe["measured_s"] for probe in row["probes"]) > 2.0
    with pytest.raises(UsageError, match=r"p99\.9 has too few samples within longest_probe_s"):
        found(LimitCase(**{**case.as_json(), "high_qps": 20.0}), served)


def test_no_answer_is_no_limit() -> None:
    def dead(load: Load) -> LoadRun:
        run = served(load).samples
        return LoadRun(
            Samples(run.due_ns, run.sent_ns, run.done_ns, np.full(len(run), "UNAVAILABLE")), "v"
        )

    with pytest.raises(UnavailableError, match="got no answer"):
        found(CASE, dead)
    given = found(LimitCase(low_qps=50.0, high_qps=100.0, votes=1), dead)
    assert given["limit_qps"] is None
    assert given["why"] == "errors"
    assert given["calibrated_qps"] is None
    assert given["complete"]


@pytest.mark.slow
def test_a_real_load_never_holds_what_the_queue_cannot() -> None:
    """Eleven seconds of waiting: a server that sleeps, its truth by the schedules of the probes."""
    case = LimitCase(
        slo_ms=60.0, probe_s=1.0, warmup_s=0.2, low_qps=300.0, high_qps=1200.0, votes=1,
        resolution=0.2, most_probes=7, slo_percentile=0.9,
    )  # fmt: skip
    with StallingDriver(Stalls(service_s=SERVICE_S, stall_s=0.0)) as driver:
        row = found(case, lambda load: run_load(driver, load))
    service_ns = round(SERVICE_S * 1e9)
    for probe in row["probes"]:
        load = case.load(probe["offered_qps"], measured_s=probe["measured_s"], seed=probe["seed"])
        due = load.schedule_ns()
        truth = departures_ns(due, np.full(len(due), service_ns)) - due
        kept = truth[due >= due[0] + 0.2e9]
        if probe["verdict"] == "held":  # what the machine adds can only make it worse
            assert np.quantile(kept, 0.9) <= 60e6
    assert (row["limit_qps"] or 0.0) < 1.1 / SERVICE_S
