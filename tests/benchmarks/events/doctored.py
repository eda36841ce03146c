"""Life events whose truth is known: simulated loads, and results by the real code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dualtower_benchmarks.devices.against import against_as_json
from dualtower_benchmarks.events.bands import bands_of
from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.events.first_request import WITH, WITHOUT, variant_result
from dualtower_benchmarks.events.goodput import goodput_of, judged
from dualtower_benchmarks.events.overload import phases_ns
from dualtower_benchmarks.events.recovery import recovered_s
from dualtower_benchmarks.events.replica_lost import replica_result
from dualtower_benchmarks.events.soak import growth_of
from dualtower_benchmarks.events.swap import Change, swap_result
from dualtower_benchmarks.events.windows import part_of, within
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.machine import machine_facts

S = 1_000_000_000
JUDGED: dict[str, Any] = {"slo_p99_ms": 50.0, "confidence": 0.95, "seed": 7}


def samples(due_s: Any, latency_ms: Any, status: Any = "OK") -> Samples:
    """Requests that were sent when they were due."""
    due_ns = (np.asarray(due_s, dtype=np.float64) * S).astype(np.int64)
    done_ns = due_ns + (np.broadcast_to(latency_ms, due_ns.shape) * 1e6).astype(np.int64)
    return Samples(
        due_ns, due_ns, done_ns, np.broadcast_to(np.asarray(status), due_ns.shape).copy()
    )


def queue(
    phases: list[tuple[float, float]], *, capacity_qps: float, deadline_ms: float, drops: bool
) -> Samples:
    """One server, first come, first served, callers that give up at their deadline.

    Args:
        phases: requests a second, and seconds.
        drops: a request whose caller is gone takes no time; else the server works on it all the
            same, and collapses under overload.
    """
    due_ns = phases_ns(phases, seed=3)
    service_ns, deadline_ns = int(S / capacity_qps), int(deadline_ms * 1e6)
    free_ns, done_ns, status = 0, [], []
    for due in due_ns.tolist():
        begin = max(free_ns, due)
        is_late = begin + service_ns - due > deadline_ns
        if not (is_late and drops):
            free_ns = begin + service_ns
        done_ns.append(due + deadline_ns if is_late else begin + service_ns)
        status.append("DEADLINE_EXCEEDED" if is_late else "OK")
    return Samples(due_ns, due_ns, np.array(done_ns, dtype=np.int64), np.array(status))


def overload(*, drops: bool, capacity_qps: float = 200.0, deadline_ms: float = 100.0) -> Any:
    """The result of an overload of that queue, with its loads."""
    steps, loads = [], []
    for share in (0.5, 1.0, 1.5, 2.0):
        phases = [(share * capacity_qps, 10.0), (0.5 * capacity_qps, 6.0)]
        seen = queue(phases, capacity_qps=capacity_qps, deadline_ms=deadline_ms, drops=drops)
        window = (0, 10 * S)
        counted = goodput_of(within(seen, [window]), seconds=10.0, deadline_ms=deadline_ms)
        part = part_of(seen, [window], **JUDGED)
        levels = {name: part[name] for name in ("n", "p50_ms", "p99_ms", "lag_p99_ms", "void")}
        taken = {"generator_cores": 0.3, "server_cores": 0.9}
        steps.append({"share": share, **counted, **levels, **taken})
        loads.append(seen)
    until = recovered_s(seen, from_ns=10 * S, until_ns=16 * S, slo_ms=50.0)
    return {
        "steps": steps,
        "deadline_ms": deadline_ms,
        **judged(steps, floor=0.8),
        "floor": 0.8,
        "recovery": {"share": 0.5, "seconds": 6.0, "until_good_s": until},
    }, loads


def swap_load(*, lost: bool = False) -> tuple[Samples, list[Change]]:
    """100 requests a second for 30 s, 5 ms each, 20 ms while 2 loads beside 1 from 10 s to 14 s."""
    due_s = np.arange(0, 30, 0.01)
    during = (due_s >= 10) & (due_s < 14)
    status = np.where(due_s < 13.0, "OK 1", "OK 2").astype("<U12")
    if lost:
        status[1300] = "UNAVAILABLE"
    change = Change(1, 2, False, 9 * S, 10 * S, 13 * S, 14 * S)
    return samples(due_s, np.where(during, 20.0, 5.0), status), [change]


def replica_load() -> Samples:
    """Two replicas, a at 5 ms and b; b is gone from 10 s on, and answers again from 20 s on."""
    due_s = np.arange(0, 30, 0.01)
    by_b = (np.arange(len(due_s)) % 2 == 1) & ((due_s < 10) | (due_s >= 20))
    status = np.where(by_b, "OK b:1", "OK a:1").astype("<U18")
    status[1001:1006:2] = "ServerUnreachable"
    latency_ms = np.where((due_s >= 10) & (due_s < 12), 80.0, 5.0)
    return samples(due_s, latency_ms, status)


def curve(*, leak_mb_an_hour: float, seed: int = 5) -> tuple[list[float], list[float]]:
    """Memory over half an hour: it fills up in the first minute, and then keeps or leaks."""
    t_s = np.arange(0, 1800.0)
    noise = np.random.default_rng(seed).normal(0, 0.8, len(t_s))
    rss = 400 + 60 * (1 - np.exp(-t_s / 12)) + noise + leak_mb_an_hour / 3600 * t_s
    return t_s.tolist(), rss.tolist()


def rows() -> list[dict[str, Any]]:
    """A row of each kind, as a session writes it."""
    seen, changes = swap_load(lost=True)
    steps = {"process_s": 0.01, "port_s": 3.1, "available_s": 6.5, "answer_s": 6.6}
    found = np.random.default_rng(2)
    servers = {
        WITH: [samples(np.arange(50) * 0.1, found.normal(5, 0.3, 50)) for _ in range(3)],
        WITHOUT: [
            samples(np.arange(50) * 0.1, np.where(np.arange(50) == 0, 180.0, 5.0)) for _ in range(3)
        ],
    }
    t_s, rss = curve(leak_mb_an_hour=200.0)
    long = samples(np.arange(0, 1800, 0.1), 5.0 + 0.3 * found.random(18000))
    minutes = bands_of(long, slot_s=60.0)
    results: dict[str, Any] = {
        "swap": swap_result(seen, changes, warmup_s=2.0, **JUDGED),
        "cold_start": {
            "starts": [steps, {**steps, "answer_s": 7.0}], "median": steps, "lowest_s": 6.6,
            "highest_s": 7.0, "page_cache": "as found at the first start, warm at the others",
            "resolution_s": 0.01,
        },
        "first_request": {
            "variants": [
                variant_result(name, servers[name], 8, confidence=0.95) for name in servers
            ]
        },
        "replica_lost": replica_result(
            replica_load(), "b:1", killed_ns=10 * S, restarted_ns=13 * S, ready_ns=19 * S,
            warmup_s=1.0, **JUDGED,
        ),
        "overload": overload(drops=False)[0],
        "soak": {
            "whole": part_of(long, [(0, 1800 * S)], **JUDGED),
            "slot_s": 60.0,
            "minutes": minutes,
            "memory": {
                "t_s": t_s, "rss_mb": rss, "threads": [12] * len(t_s),
                "descriptors": [40] * len(t_s), "warm_from_s": 60.0,
            },
            "pss": {"t_s": t_s[::10], "pss_mb": rss[::10]},
            "memory_growth": growth_of(t_s, rss, from_s=60.0, floor=16.0, confidence=0.95),
            "p99_growth": None,
        },
    }  # fmt: skip
    return [_row(kind, result) for kind, result in results.items()]


def _row(kind: str, result: Any) -> dict[str, Any]:
    rated = {"rate_share": 0.5} if kind in ("swap", "replica_lost", "soak") else {}
    case = EventCase(kind=kind, **rated)
    return {
        "key": case.key, "repeat": 0, "attempt": 0, **case.as_json(), "engine": "embedded",
        "capacity_qps": 200.0, "offered_qps": 100.0 if rated else None, "void": None,
        kind: result, "raw_points": [],
    }  # fmt: skip


def write_results(out: Path, found: list[dict[str, Any]]) -> Path:
    """A results file of these rows."""
    from dualtower_benchmarks.load.raw_store import write_raw
    from dualtower_benchmarks.scenario.scenario import read_scenario

    scenario = read_scenario("events").as_json()
    write_raw(out.with_name(f"{out.stem}.samples.parquet"), [])
    absent = {**EventCase(kind="overload").as_json(), "reason": "no second machine"}
    document = {
        "schema": 2,
        "scenario": scenario,
        "created": "2026-11-30T10:05:00+00:00",
        "command": "dualtower bench events bundle",
        "bundle": {"fingerprint": "0123456789abcdef" * 4, "version": 3},
        "machine": machine_facts() | {"gpu": "no GPU", "cpu_model": "Some CPU", "cpu_flags": []},
        "git_commits": ["a" * 40],
        "devices": {"cards": "no GPU here", "cpu_energy": "not readable", "interval_s": 0.1},
        "copies": [],
        "servers": [],
        "points": [],
        "absent": [],
        "raw_file": f"{out.stem}.samples.parquet",
        "noise": None,
        "pace": None,
        "events": {
            "rows": found, "absent": [absent], "raw_file": f"{out.stem}.events.parquet"
        },
        "wall_s": 200.0,
    }  # fmt: skip
    document["gpu_against_cpu"] = against_as_json(document)
    out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return out
