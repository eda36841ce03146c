"""Loads of events: the closed loop that says what a server can do, and an open one beside us."""

from __future__ import annotations

import threading
import time

from dualtower.errors import UnavailableError
from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.events.who import plain
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.run import LoadRun

__all__ = ["Beside", "capacity_of", "rate_of"]

_WARMUP_S = 1.0


def capacity_of(case: EventCase, process: LoadProcess) -> float:
    """Answers a second of a closed loop.

    Raises:
        UnavailableError: nothing was answered.
    """
    load = Load(
        loop="closed",
        concurrency=case.concurrency,
        measured_s=case.capacity_s,
        warmup_s=_WARMUP_S,
    )
    seen = plain(process.run(load).samples)
    if not len(seen):
        raise UnavailableError(f"{case.words}: the closed loop sent no request")
    seen = seen.due_from(int(seen.due_ns.min()) + int(_WARMUP_S * 1e9))
    if not len(seen.latency_ns):
        failed = ", ".join(f"{name} {n}" for name, n in seen.errors.items()) or "no request"
        raise UnavailableError(f"{case.words}: the closed loop was not answered ({failed})")
    return len(seen.latency_ns) / seen.elapsed_s


def rate_of(case: EventCase, process: LoadProcess) -> tuple[float, float | None]:
    """The rate of the open loop, and the capacity that it is a share of; None: it is none."""
    if case.rate_qps:
        return case.rate_qps, None
    capacity_qps = capacity_of(case, process)
    return capacity_qps * case.rate_share, capacity_qps


class Beside:
    """A load that runs while this process makes something happen.

    Example:
        load = Beside(process, case.load(rate_qps, seed=7))
        load.until(12.0)
        server.kill()
        samples = load.ended().samples
    """

    def __init__(self, process: LoadProcess, load: Load) -> None:
        self.begin_ns = time.monotonic_ns()
        self._process, self._load = process, load
        self._run: LoadRun | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="event-load", daemon=True)
        self._thread.start()

    def until(self, seconds: float) -> None:
        """Waits until so long after the begin."""
        remaining_s = self.begin_ns / 1e9 + seconds - time.monotonic()
        if remaining_s > 0:
            time.sleep(remaining_s)

    def ended(self) -> LoadRun:
        """Waits for the end; raises what the load raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        assert self._run is not None
        return self._run

    def _work(self) -> None:
        try:
            self._run = self._process.run(self._load)
        except BaseException as error:
            self._failure = error
