"""A closed loop: N clients, each sends its next request when the last one was answered.

It measures the capacity of a server. It does not measure what users wait for: while the server
stands still its clients stand still too, so a stall of any length counts as N slow requests.
`open_loop` counts the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from dualtower_benchmarks.drivers.driver import Blocking
from dualtower_benchmarks.load.samples import OK, Recorder, Samples

__all__ = ["run_closed_loop"]

AT_LEAST = 6  # requests per client: the fewest that have a median with an interval
_MOST_TIMES_LONGER = 5.0
_PAUSE_AFTER_ERROR_S = 0.01  # a server that refuses at once is counted, not hammered


def run_closed_loop(
    clients: Sequence[Blocking],
    *,
    duration_s: float,
    warmup_s: float = 0.0,
    at_least: int = AT_LEAST,
) -> Samples:
    """Drives each of `clients` from a thread of its own; returns what was due after the warm-up.

    A request that is in flight at the end is waited for and counted.

    Args:
        at_least: a client goes on beyond `duration_s`, at most five times as long, until it has
            sent so many requests after the warm-up.
    """
    recorder = Recorder()
    barrier = threading.Barrier(len(clients) + 1)
    failures: list[BaseException] = []

    def work(number: int, client: Blocking) -> None:
        try:
            barrier.wait()
            warm_ns = time.monotonic_ns() + int(warmup_s * 1e9)
            end_ns = warm_ns + int(duration_s * 1e9)
            latest_ns = warm_ns + int(duration_s * _MOST_TIMES_LONGER * 1e9)
            index, measured = number, 0
            while (sent_ns := time.monotonic_ns()) < end_ns or (
                measured < at_least and sent_ns < latest_ns
            ):
                status = client.call(index)
                measured += sent_ns >= warm_ns
                recorder.add(sent_ns, sent_ns, time.monotonic_ns(), status)
                if status != OK:
                    time.sleep(_PAUSE_AFTER_ERROR_S)
                index += len(clients)
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(number, client), name=f"closed-loop-{number}")
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    barrier.wait()
    begin_ns = time.monotonic_ns()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return recorder.samples().due_from(begin_ns + int(warmup_s * 1e9))
