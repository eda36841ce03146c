"""Faults and numbers of callers: cancelled, closed, forked, very many."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from dualtower.errors import UnavailableError
from dualtower_benchmarks.faults.kinds import Kind, Load, Question, Stage
from dualtower_benchmarks.faults.load import fire
from dualtower_benchmarks.faults.question import SUM, answers_again
from dualtower_benchmarks.faults.row import Row
from dualtower_benchmarks.faults.servers import started
from dualtower_benchmarks.faults.sizes import Sizes

__all__ = ["cancelled", "closed", "forked", "thousand_tasks", "twenty_four_threads"]

_LONG_S = 30.0  # the client's own deadline, where calls end for another reason
_FORK_S = 60.0


def cancelled(kind: Kind, sizes: Sizes) -> list[Row]:
    """Half of the calls hang, and their tasks are cancelled; the others are answered."""
    patient = Question(
        lambda client, number, timeout_s: SUM.ask(client, number, _LONG_S), SUM.is_right
    )
    with ExitStack() as stack:
        (server,) = started(stack, {})
        server.do("delay", delay_s=math.inf, share=0.5)
        row = fire(
            "cancelled tasks",
            kind,
            lambda: kind.serving(server.address),
            patient,
            Load(callers=50, timeout_s=0.5, spread=0.8, calls=2 * sizes.rounds, cancels=True),
            servers="a fake that hangs",
        )
    return [replace(row, proofs={"cancelled": row.failed.get("CancelledError", 0)})]


def closed(kind: Kind, sizes: Sizes) -> list[Row]:
    """The client is closed while its calls run."""
    with ExitStack() as stack:
        (server,) = started(stack, {})

        def during(stage: Stage) -> None:
            answers_again(stage)
            server.do("delay", delay_s=math.inf)
            time.sleep(max(0.3, sizes.steady_s))
            stage.tally.due_now()
            assert stage.close is not None
            stage.close()
            stage.stop.set()

        row = fire(
            "client closed under load",
            kind,
            lambda: kind.serving(server.address),
            SUM,
            Load(callers=24, timeout_s=_LONG_S),
            servers="a fake that hangs",
            during=during,
        )
    return [replace(row, proofs={"CallCancelled": row.failed.get("CallCancelled", 0)})]


def forked(kind: Kind, sizes: Sizes) -> list[Row]:
    """A process forks: after the import, and after it has used a client."""
    if not hasattr(os, "fork"):
        return []
    with ExitStack() as stack:
        (server,) = started(stack, {})
        done = subprocess.run(
            [sys.executable, "-m", "dualtower_benchmarks.faults.fork_worker"],
            input=json.dumps({"address": server.address, "kind": kind.name, "calls": sizes.rounds}),
            capture_output=True,
            text=True,
            timeout=_FORK_S,
            check=False,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise UnavailableError(f"the program that forks ended by itself: {last[0]}")
    said: list[dict[str, Any]] = json.loads(done.stdout)
    return [Row(**row) for row in said]


def thousand_tasks(kind: Kind, sizes: Sizes) -> list[Row]:
    """1,000 calls in flight at once on one client."""
    return _many("1,000 concurrent calls", kind, Load(1000, 10.0, calls=1 + sizes.rounds))


def twenty_four_threads(kind: Kind, sizes: Sizes) -> list[Row]:
    """24 threads on one client."""
    return _many("24 threads on one client", kind, Load(24, 5.0, calls=sizes.many_calls))


def _many(fault: str, kind: Kind, load: Load) -> list[Row]:
    with ExitStack() as stack:
        (server,) = started(stack, {})
        return [
            fire(fault, kind, lambda: kind.serving(server.address), SUM, load, servers="a fake")
        ]
