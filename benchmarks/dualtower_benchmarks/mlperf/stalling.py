"""A driver whose latencies are known: one server, one request at a time, a stall every so often.

It computes nothing and sleeps until the instant at which a request leaves, which follows from when
it came (Lindley 1952, Proceedings of the Cambridge Philosophical Society 48, 277–289):

    leaves[n] = max(comes[n], leaves[n - 1]) + service[n]

So a late wake-up makes one answer late and does not hold up those behind it. What the machine adds
is known, too: `visits` says when each request came, left, and was answered.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.load.priority import real_time
from dualtower_benchmarks.load.samples import OK

__all__ = ["StallingDriver", "Stalls", "departures_ns"]

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stalls:
    """Every request takes `service_s`, and each `every`-th one `stall_s` more."""

    service_s: float = 0.002
    stall_s: float = 0.5
    every: int = 400

    def service_ns(self, count: int) -> _Ints:
        """int64 [count], in the order of arrival."""
        times = np.full(count, round(self.service_s * 1e9), dtype=np.int64)
        times[self.every - 1 :: self.every] += round(self.stall_s * 1e9)
        return times


def departures_ns(arrivals_ns: _Ints, service_ns: _Ints) -> _Ints:
    """int64 [n]: when each request leaves a server that takes them one by one, in their order."""
    leaves, last = np.empty_like(arrivals_ns), 0
    for number, (comes, takes) in enumerate(
        zip(arrivals_ns.tolist(), service_ns.tolist(), strict=True)
    ):
        last = max(comes, last) + takes if number else comes + takes
        leaves[number] = last
    return leaves


class StallingDriver:
    """The server and its only client; use it in a `with`.

    Sends and calls are counted apart, so that a warm-up by calls does not move the stalls of sends.
    """

    def __init__(self, stalls: Stalls) -> None:
        self._stalls = stalls
        self._sent, self._called = _Clock(stalls), _Clock(stalls)
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._visits: list[tuple[int, int, int]] = []
        self._thread = threading.Thread(target=self._serve, name="stalling-server")
        with real_time():  # inherited: what is measured is the generator, not a late wake-up here
            self._thread.start()

    def connect(self) -> StallingDriver:
        return self

    def send(self, index: int, done: Callable[[str], None]) -> None:
        comes_ns = time.monotonic_ns()

        def serve() -> None:
            leaves_ns = self._sent.leaves_ns(comes_ns)
            _sleep_until(leaves_ns)
            answered_ns = time.monotonic_ns()
            self._visits.append((comes_ns, leaves_ns, answered_ns))
            done(OK)

        self._jobs.put(serve)

    def call(self, index: int) -> str:
        comes_ns, answered = time.monotonic_ns(), threading.Event()

        def serve() -> None:
            _sleep_until(self._called.leaves_ns(comes_ns))
            answered.set()

        self._jobs.put(serve)
        answered.wait()
        return OK

    def visits(self) -> _Ints:
        """int64 [sends, 3]: when each request came, left, and was answered; monotonic clock."""
        return np.array(self._visits, dtype=np.int64).reshape(-1, 3)

    def check(self) -> None:
        self.call(0)

    def facts(self) -> dict[str, Any]:
        return {"device": "none", "stalls": vars(self._stalls)}

    def close(self) -> None:
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def __enter__(self) -> StallingDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while (serve := self._jobs.get()) is not None:
            serve()


class _Clock:
    """The recursion, a request at a time."""

    def __init__(self, stalls: Stalls) -> None:
        self._stalls, self._count, self._last_ns = stalls, 0, 0

    def leaves_ns(self, comes_ns: int) -> int:
        self._count += 1
        stalled = self._count % self._stalls.every == 0
        takes_s = self._stalls.service_s + self._stalls.stall_s * stalled
        self._last_ns = max(comes_ns, self._last_ns) + round(takes_s * 1e9)
        return self._last_ns


def _sleep_until(instant_ns: int) -> None:
    remaining_ns = instant_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns / 1e9)
