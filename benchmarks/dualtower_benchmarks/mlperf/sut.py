"""A driver as LoadGen's system under test: its queries become requests, answers complete them.

LoadGen takes every completion for an answer. A request that failed is completed, too, or a run
would never end, and counted here: a run with failures is not valid, whatever LoadGen says of it.

LoadGen's own thread calls `issue`. In Server it must come back at once, or the schedule is late;
LoadGen counts from the scheduled time and would show that as latency.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from dualtower_benchmarks.drivers.driver import Blocking, Driver, Target
from dualtower_benchmarks.drivers.in_turns import InTurns
from dualtower_benchmarks.drivers.pooled import Pooled
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.mlperf.case import OFFLINE, SINGLE_STREAM

__all__ = ["Sample", "SystemUnderTest"]


class Sample(Protocol):
    """One of LoadGen's samples: `id` names the response, `index` the sample in the library."""

    id: int
    index: int


class SystemUnderTest:
    """Clients of a driver behind LoadGen's `issue`; use it in a `with`.

    Args:
        complete: tells LoadGen that the response `id` is there; called on any thread.
        concurrency: requests in flight in Offline, and workers of a driver that blocks.
    """

    def __init__(
        self,
        driver: Driver,
        scenario: str,
        complete: Callable[[int], None],
        *,
        concurrency: int,
        connections: int,
    ) -> None:
        self._complete, self._stack = complete, ExitStack()
        self._lock, self._statuses = threading.Lock(), Counter[str]()
        self._room = threading.BoundedSemaphore(concurrency) if scenario == OFFLINE else None
        first = driver.connect()
        self._one: Blocking | None = first if scenario == SINGLE_STREAM else None
        self._target: Target | None = None
        if self._one is None:
            self._target = _target(driver, first, self._stack, concurrency, connections)

    def issue(self, samples: Sequence[Sample]) -> None:
        """Takes a query of LoadGen. An error is a status: LoadGen's thread cannot be thrown at."""
        for sample in samples:
            try:
                self._send(sample.id, sample.index)
            except Exception as error:
                self._done(sample.id, type(error).__name__)

    def failed(self) -> dict[str, int]:
        """How many requests failed, by the name of their error."""
        with self._lock:
            return {status: n for status, n in self._statuses.items() if status != OK}

    def answered(self) -> int:
        """How many requests were answered."""
        with self._lock:
            return self._statuses[OK]

    def __enter__(self) -> SystemUnderTest:
        return self

    def __exit__(self, *reason: Any) -> None:
        self._stack.__exit__(*reason)

    def _send(self, response: int, index: int) -> None:
        if self._target is None:
            assert self._one is not None
            self._done(response, self._one.call(index))
            return
        if self._room is not None:
            self._room.acquire()
        self._target.send(index, lambda status: self._done(response, status, self._room))

    def _done(
        self, response: int, status: str, room: threading.BoundedSemaphore | None = None
    ) -> None:
        with self._lock:
            self._statuses[status] += 1
        self._complete(response)
        if room is not None:
            room.release()


def _target(
    driver: Driver, first: Blocking, stack: ExitStack, concurrency: int, connections: int
) -> Target:
    if hasattr(first, "send"):
        targets: list[Any] = [first, *(driver.connect() for _ in range(connections - 1))]
        for target in targets:  # connects
            target.call(0)
        return InTurns(targets)
    workers = [first, *(driver.connect() for _ in range(concurrency - 1))]
    return stack.enter_context(Pooled(workers))
