"""An open loop: requests are sent when they are due, whatever became of those before.

The users of a service do not wait for each other, so this is what they meet. Latency counts from
the instant a request was due. Two things can spoil a run and are therefore measured: the generator
may lag behind its own schedule, and requests beyond the cap of those in flight are not sent but
counted as skipped.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.percentiles import nearest_rank
from dualtower_benchmarks.samples import Recorder, Samples
from dualtower_benchmarks.targets import Target

__all__ = ["OpenLoopRun", "run_open_loop"]

_LEAD_NS = 5_000_000  # the first request is due a little after the start


@dataclass(frozen=True)
class OpenLoopRun:
    """What an open loop saw after its warm-up.

    Args:
        samples: the requests that were sent.
        skipped: how many were due but not sent, since too many were in flight.
    """

    samples: Samples
    skipped: int

    def lag_p99_ms(self) -> float | None:
        """The generator's own lag at the 99th percentile; None where nothing was sent."""
        return nearest_rank(self.samples.lag_ns, 0.99) / 1e6 if len(self.samples) else None

    def void_reason(self, *, floor_ms: float, share: float) -> str | None:
        """Why the latencies tell about the generator and not about the server; None: they do not.

        Args:
            floor_ms: a p99 lag up to this is accepted in any case.
            share: and so is one up to this share of the p99 latency.
        """
        lag_ms = self.lag_p99_ms()
        latency_ns = self.samples.latency_ns
        if lag_ms is None or not len(latency_ns):
            return "no request was answered"
        limit_ms = max(floor_ms, share * nearest_rank(latency_ns, 0.99) / 1e6)
        if lag_ms <= limit_ms:
            return None
        return f"the generator's p99 lag was {lag_ms:.2f} ms, the limit is {limit_ms:.2f} ms"


def run_open_loop(
    target: Target,
    schedule_ns: npt.NDArray[np.int64],
    *,
    max_in_flight: int,
    warmup_s: float = 0.0,
) -> OpenLoopRun:
    """Sends one request per entry of `schedule_ns` (offsets from the start, ascending).

    The call returns when every request was answered; the target's deadline bounds that.
    """
    recorder, idle = Recorder(), threading.Condition()
    in_flight, skipped = 0, 0
    start_ns = time.monotonic_ns() + _LEAD_NS
    measured_from_ns = start_ns + int(warmup_s * 1e9)

    def send(index: int, due_ns: int) -> None:
        sent_ns = time.monotonic_ns()

        def done(status: str) -> None:
            nonlocal in_flight
            recorder.add(due_ns, sent_ns, time.monotonic_ns(), status)
            with idle:
                in_flight -= 1
                idle.notify()

        target.send(index, done)

    for index, offset_ns in enumerate(schedule_ns.tolist()):
        due_ns = start_ns + offset_ns
        _sleep_until(due_ns)
        with idle:
            room = in_flight < max_in_flight
            in_flight += room
        if room:
            send(index, due_ns)
        elif due_ns >= measured_from_ns:
            skipped += 1
    with idle:
        idle.wait_for(lambda: in_flight == 0)
    return OpenLoopRun(recorder.samples().due_from(measured_from_ns), skipped)


def _sleep_until(instant_ns: int) -> None:
    # sleep never returns early (PEP 475), and spinning would take a core from the server
    remaining_ns = instant_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns / 1e9)
