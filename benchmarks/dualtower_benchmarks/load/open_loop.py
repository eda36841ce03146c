"""An open loop: requests are sent when they are due, whatever became of those before.

The users of a service do not wait for each other, so this is what they meet. Latency counts from
the instant a request was due. Two things can spoil a run and are therefore measured: the generator
may lag behind its own schedule, and requests beyond the cap of those in flight are not sent but
counted as skipped.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.drivers.driver import Target
from dualtower_benchmarks.load.samples import SKIPPED, Recorder, Samples

__all__ = ["run_open_loop"]

_LEAD_NS = 5_000_000  # the first request is due a little after the start


def run_open_loop(
    target: Target,
    schedule_ns: npt.NDArray[np.int64],
    *,
    max_in_flight: int,
) -> Samples:
    """Sends one request per entry of `schedule_ns` (offsets from the start, ascending).

    The call returns when every request was answered; the target's deadline bounds that.
    """
    recorder, idle = Recorder(), threading.Condition()
    in_flight = 0
    start_ns = time.monotonic_ns() + _LEAD_NS

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
        else:
            recorder.add(due_ns, due_ns, due_ns, SKIPPED)
    with idle:
        idle.wait_for(lambda: in_flight == 0)
    return recorder.samples()


def _sleep_until(instant_ns: int) -> None:
    # sleep never returns early (PEP 475), and spinning would take a core from the server
    remaining_ns = instant_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns / 1e9)
