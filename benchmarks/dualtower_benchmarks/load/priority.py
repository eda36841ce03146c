"""Real-time scheduling for the thread that keeps a schedule, where the system permits it.

Where the server keeps all cores busy, an ordinary thread wakes up milliseconds late, and an open
loop's own lag spoils its point. This thread sleeps almost all the time, so it takes nothing from
the server. It needs CAP_SYS_NICE (root has it, most containers do not); without it nothing changes,
and the results say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["real_time"]

_LOWEST = 1  # any real-time priority precedes all ordinary threads


@contextmanager
def real_time() -> Iterator[str]:
    """Runs the block, and the threads that it starts, under SCHED_RR; yields the policy in force.

    Only the calling thread is changed, and set back afterwards.
    """
    if not hasattr(os, "sched_setscheduler"):  # macOS
        yield "default"
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_LOWEST))
    except PermissionError:
        yield "default"
        return
    try:
        yield "real time"
    finally:
        os.sched_setscheduler(0, policy, parameters)
