"""Clients that block, behind threads, so that an open loop can send without waiting.

Each worker owns one client. A request that finds no idle worker waits in a queue, as it would in an
application with so many threads; its latency counts from the instant it was due, so the wait is in.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from dualtower_benchmarks.drivers.driver import Blocking

__all__ = ["Pooled"]

_Job = tuple[int, Callable[[str], None]]


class Pooled:
    """A `Target` out of blocking clients, one thread each; use it in a `with`."""

    def __init__(self, clients: Sequence[Blocking]) -> None:
        if not clients:
            raise ValueError("a pool needs at least one client")
        self._first = clients[0]
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(client,), name=f"pooled-{number}")
            for number, client in enumerate(clients)
        ]
        for thread in self._threads:
            thread.start()

    def call(self, index: int) -> str:
        return self._first.call(index)

    def send(self, index: int, done: Callable[[str], None]) -> None:
        self._jobs.put((index, done))

    def __enter__(self) -> Pooled:
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, client: Blocking) -> None:
        while (job := self._jobs.get()) is not None:
            index, done = job
            try:
                status = client.call(index)
            except Exception as error:  # the load goes on; the error is counted by its name
                status = type(error).__name__
            done(status)
