"""One of two replicas is killed under load, and comes back: what callers notice of it.

Callers ask by `dualtower_clients.ServingClient` over both addresses with its defaults: balancing,
retries, ejection. Nothing tells them that a replica died.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from typing import Any

from dualtower.bundle import Bundle
from dualtower_benchmarks.events.bands import bands_of
from dualtower_benchmarks.events.loads import Beside, rate_of
from dualtower_benchmarks.events.measured import Event, Measured
from dualtower_benchmarks.events.recovery import recovered_s
from dualtower_benchmarks.events.who import answers_by, plain, who_answered
from dualtower_benchmarks.events.windows import part_of
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.samples import SKIPPED, Samples
from dualtower_benchmarks.scenario.jobs import Engine, batching_flags, job_of
from dualtower_serving import RunningServer, start

__all__ = ["measure", "replica_result"]

_KILL_AT = 0.25  # of measured_s
_STARTS = 2.0  # a start under load takes longer than the one before it


def measure(event: Event) -> Measured:
    """Kills the second of two servers while an open loop runs, and starts it again."""
    case, place = event.case, event.place
    event.own_server(what="kills a server's process", docker=False)
    with _started(event, place.bundle) as stays:
        begin_s = time.monotonic()
        leaves = _started(event, place.bundle)
        start_s = time.monotonic() - begin_s
        try:
            for one in (stays, leaves):
                event.keep(Engine(one.address, "", one.engine, one.pid, tuple(one.command)))
            engine = Engine(stays.address, "", stays.engine, stays.pid)
            job = {
                **job_of(case, place.bundle, place.settings, engine),
                "driver": "clients",
                "addresses": [stays.address, leaves.address],
                "who": True,
            }
            with LoadProcess(job) as process:
                rate_qps, capacity_qps = rate_of(case, process)
                asked = case.load(rate_qps, seed=event.seed)
                longer_s = asked.measured_s + _STARTS * start_s
                load = Beside(process, dataclasses.replace(asked, measured_s=longer_s))
                load.until(case.warmup_s + _KILL_AT * case.measured_s)
                killed_ns = time.monotonic_ns()
                os.kill(leaves.pid, signal.SIGKILL)
                leaves.wait(10.0)
                leaves.close()
                load.until((killed_ns - load.begin_ns) / 1e9 + case.down_s)
                restarted_ns = time.monotonic_ns()
                leaves = _started(event, place.bundle, port=leaves.port)
                ready_ns = time.monotonic_ns()
                seen = load.ended().samples
        finally:
            leaves.close()
    result = replica_result(
        seen,
        leaves.address,
        killed_ns=killed_ns,
        restarted_ns=restarted_ns,
        ready_ns=ready_ns,
        warmup_s=case.warmup_s,
        slo_p99_ms=case.slo_p99_ms,
        confidence=place.settings.confidence,
        seed=place.settings.seed,
    )
    void = result["whole"]["void"]
    if ready_ns > int(seen.due_ns.max()):
        void = "the load ended before the replica was back; give a longer measured_s"
    return Measured(
        result,
        loads=[seen],
        engine=stays.engine,
        capacity_qps=capacity_qps,
        offered_qps=rate_qps,
        void=void,
    )


def replica_result(
    seen: Samples,
    lost: str,
    *,
    killed_ns: int,
    restarted_ns: int,
    ready_ns: int,
    warmup_s: float,
    slo_p99_ms: float,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """What callers met before the kill, until the replica took load again, and after that.

    Args:
        seen: with the address that answered in the status, see `who`.
        lost: the address of the replica.
        restarted_ns, ready_ns: its start was begun, and was over.
    """
    samples, who = plain(seen), who_answered(seen)
    begin_ns, end_ns = int(samples.due_ns.min()), int(samples.due_ns.max()) + 1
    warm_ns = begin_ns + int(warmup_s * 1e9)
    theirs = samples.done_ns[(who == lost) & (samples.done_ns >= restarted_ns)]
    back_ns = int(theirs.min()) if len(theirs) else None
    turn_ns = end_ns if back_ns is None else min(back_ns, end_ns)
    failed = ~samples.answered & (samples.status != SKIPPED) & (samples.due_ns >= warm_ns)
    failed_ns = samples.done_ns[failed & (samples.done_ns >= killed_ns)]
    windows = {
        "whole": [(warm_ns, end_ns)],
        "before": [(warm_ns, killed_ns)],
        "during": [(killed_ns, turn_ns)],
        "after": [(turn_ns, end_ns)],
    }
    parts = {
        name: part_of(
            samples, inside, slo_p99_ms=slo_p99_ms, confidence=confidence, seed=seed
        )
        for name, inside in windows.items()
    }  # fmt: skip
    return {
        **parts,
        "lost": lost,
        "answers": answers_by(seen),
        "killed_s": (killed_ns - begin_ns) / 1e9,
        "until_last_failed_s": (int(failed_ns.max()) - killed_ns) / 1e9 if len(failed_ns) else 0.0,
        "until_good_s": recovered_s(
            samples, from_ns=killed_ns, until_ns=end_ns, slo_ms=slo_p99_ms
        ),
        "until_restarted_s": (restarted_ns - killed_ns) / 1e9,
        "until_ready_s": (ready_ns - killed_ns) / 1e9,
        "until_takes_load_s": None if back_ns is None else (back_ns - killed_ns) / 1e9,
        "bands": bands_of(samples),
    }  # fmt: skip


def _started(event: Event, bundle: Bundle, *, port: int = 0) -> RunningServer:
    case = event.case
    return start(
        bundle,
        engine=case.engine,
        port=port,
        batching=None if case.batching == "bundle" else False,
        flags=[*batching_flags(case.batching), *case.flags.split()],
    )
