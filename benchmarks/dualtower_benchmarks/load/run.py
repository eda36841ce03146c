"""One load on one driver: what was seen, from the first request on.

Nothing is cut off here. The warm-up is in the samples; `stats` finds where it ends.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.drivers.driver import Blocking, Driver, Target
from dualtower_benchmarks.drivers.in_turns import InTurns
from dualtower_benchmarks.drivers.pooled import Pooled
from dualtower_benchmarks.load.closed_loop import run_closed_loop
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.open_loop import run_open_loop
from dualtower_benchmarks.load.priority import real_time
from dualtower_benchmarks.load.samples import Samples

__all__ = ["LoadRun", "run_load"]


@dataclass(frozen=True)
class LoadRun:
    """What a load saw.

    Args:
        samples: all requests that were due, the warm-up and the skipped ones among them.
        scheduling: of the generator's thread: "real time" or "default".
    """

    samples: Samples
    scheduling: str


def run_load(driver: Driver, load: Load) -> LoadRun:
    """Sends the load and waits until all of it was answered.

    Args:
        driver: opened and checked; its clients are made here.
    """
    if load.loop == "closed":
        clients = [driver.connect() for _ in range(load.concurrency)]
        for client in clients:  # connects
            client.call(0)
        samples = run_closed_loop(clients, duration_s=load.duration_s, at_least=load.at_least)
        return LoadRun(samples, "default")
    schedule_ns = load.schedule_ns()
    # the clients' own threads belong inside, or they hold up the one that keeps the schedule
    with real_time() as scheduling, ExitStack() as stack:
        target = _target(driver, load, stack)
        target.call(0)
        samples = run_open_loop(target, schedule_ns, max_in_flight=load.max_in_flight)
    return LoadRun(samples, scheduling)


def _target(driver: Driver, load: Load, stack: ExitStack) -> Target:
    first = driver.connect()
    if hasattr(first, "send"):
        connections: list[Any] = [first, *(driver.connect() for _ in range(load.connections - 1))]
        return InTurns(connections)
    workers: list[Blocking] = [first, *(driver.connect() for _ in range(load.concurrency - 1))]
    return stack.enter_context(Pooled(workers))
