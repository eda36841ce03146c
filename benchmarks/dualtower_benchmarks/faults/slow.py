"""Faults of time: one of three replicas is slow, and deadlines that end together."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from dualtower_benchmarks.faults.kinds import Kind, Load, Stage
from dualtower_benchmarks.faults.load import fire
from dualtower_benchmarks.faults.question import SUM, answers_again, until
from dualtower_benchmarks.faults.row import Row
from dualtower_benchmarks.faults.servers import ServerProcess, started
from dualtower_benchmarks.faults.sizes import Sizes
from dualtower_clients import CallPolicy, HedgePolicy

__all__ = ["deadline_storm", "one_of_three_slow"]

_SERVICE_S = 0.01
_SLOW_S = 0.2
_CALLERS = 8
_THREADS = 24


def one_of_three_slow(kind: Kind, sizes: Sizes) -> list[Row]:
    """The tail of calls: all well, one slow, and one slow with hedging."""
    with ExitStack() as stack:
        servers = started(stack, {}, {}, {})
        for server in servers:
            server.do("delay", delay_s=_SERVICE_S)
        well = _tail("three replicas, healthy", kind, servers, sizes)
        servers[0].do("delay", delay_s=_SLOW_S)
        slow = _tail("one of three slow, no hedging", kind, servers, sizes)
        hedged = _tail("one of three slow, hedging", kind, servers, sizes, hedge=HedgePolicy())
    if hedged.p99_ms and well.p99_ms:
        ratio = hedged.p99_ms.value / well.p99_ms.value
        hedged = replace(hedged, figures={**hedged.figures, "p99_over_healthy": ratio})
    return [well, slow, hedged]


def _tail(
    fault: str,
    kind: Kind,
    servers: Sequence[ServerProcess],
    sizes: Sizes,
    hedge: HedgePolicy | None = None,
) -> Row:
    before = [server.do("count") for server in servers]
    row = fire(
        fault,
        kind,
        lambda: kind.serving([one.address for one in servers], policy=CallPolicy(hedge=hedge)),
        SUM,
        Load(callers=_CALLERS, timeout_s=5.0, calls=-(-sizes.replica_calls // _CALLERS)),
        servers="3 fakes",
    )
    came = [server.do("count") - was for server, was in zip(servers, before, strict=True)]
    return replace(
        row,
        proofs={"calls of the first replica": came[0]},
        figures={
            "calls_added_share": sum(came) / row.calls - 1,
            "first_replica_share": came[0] / sum(came),
        },
    )


def deadline_storm(kind: Kind, sizes: Sizes) -> list[Row]:
    """Nobody answers for a while: all deadlines end, and then all is well again."""
    callers = _THREADS if kind.name == "threads" else sizes.storm_tasks
    with ExitStack() as stack:
        (server,) = started(stack, {})

        def during(stage: Stage) -> None:
            failed = stage.tally.failed
            for done in range(sizes.rounds):
                answers_again(stage)
                enough = (1 + done) * 2 * callers
                server.do("delay", delay_s=math.inf)
                until("deadlines that end", partial(_has, failed, enough))
                server.do("heal")
            answers_again(stage)
            time.sleep(sizes.steady_s)

        row = fire(
            "deadline storm",
            kind,
            lambda: kind.serving(server.address),
            SUM,
            Load(callers=callers, timeout_s=0.4, spread=0.75, pause_s=0.02),
            servers="a fake that hangs",
            during=during,
        )
    return [replace(row, proofs={"deadlines": row.failed.get("DeadlineExceeded", 0)})]


def _has(counts: Counter[str], enough: int) -> bool:
    return sum(counts.values()) >= enough
