"""One load under one fault, from an empty process back to an empty process: a Row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from dualtower_benchmarks.faults.census import census, surplus
from dualtower_benchmarks.faults.kinds import Kind, Load, Question, Stage
from dualtower_benchmarks.faults.row import Row
from dualtower_benchmarks.faults.tally import Tally
from dualtower_benchmarks.stats.percentiles import Estimate, percentile

__all__ = ["Fault", "fire", "row_of"]

Fault = Callable[[Stage], None]

_POLL_S = 0.02


def fire(
    fault: str,
    kind: Kind,
    make: Callable[[], Any],
    question: Question,
    load: Load,
    *,
    servers: str,
    during: Fault | None = None,
) -> Row:
    """Runs the load while `during` makes things go wrong, and counts what came of it.

    Args:
        fault: its name.
        kind: of the client.
        make: opens the client.
        question: that each call asks.
        load: how much.
        servers: what is asked, for the table.
        during: does what is wrong; the load of a number of calls needs none.
    """
    before = census()
    stage = Stage(load, Tally(cancels=load.cancels), threading.Event(), threading.Event())
    broken: list[BaseException] = []

    def drive() -> None:
        try:
            kind.drive(make, question, stage)
        except BaseException as error:
            broken.append(error)
        finally:
            stage.ready.set()

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    _watch(stage, stage.ready.is_set)
    try:
        if during is not None:
            during(stage)
    finally:
        if load.calls is None or during is not None:
            stage.stop.set()
    _watch(stage, lambda: not driver.is_alive())
    if broken:
        raise broken[0]
    stage.client = stage.close = None
    hung = stage.tally.hung
    leaked = {**surplus(before), "tasks": stage.tasks_left}
    return row_of(fault, kind.name, servers, load.timeout_s, stage.tally, hung, leaked)


def row_of(
    fault: str,
    client: str,
    servers: str,
    timeout_s: float,
    tally: Tally,
    hung: int,
    leaked: dict[str, int],
) -> Row:
    """The line of a tally."""
    answered_ns = np.array(tally.answered_ns, np.int64)
    past_ns = tally.longest_past_ns
    return Row(
        fault=fault,
        client=client,
        servers=servers,
        timeout_ms=timeout_s * 1e3,
        calls=tally.calls,
        answered=len(tally.answered_ns),
        wrong=tally.wrong,
        failed=dict(tally.failed),
        unnamed=dict(tally.unnamed),
        hung=hung,
        longest_past_deadline_ms=None if past_ns is None else past_ns / 1e6,
        p50_ms=_in_ms(percentile(answered_ns, 0.5)),
        p99_ms=_in_ms(percentile(answered_ns, 0.99)),
        leaked=leaked,
    )


def _watch(stage: Stage, is_over: Callable[[], bool]) -> None:
    """Waits, but not for what hangs: that is left behind, and counted."""
    pause = threading.Event()
    while not is_over() and stage.tally.overdue_s() < stage.load.give_up_s:
        pause.wait(_POLL_S)


def _in_ms(found: Estimate | None) -> Estimate | None:
    if found is None:
        return None
    return Estimate(found.value / 1e6, found.low / 1e6, found.high / 1e6, found.n)
