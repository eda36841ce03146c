"""Real-time scheduling is borrowed for a block and given back, or honestly not had."""

from __future__ import annotations

import os
import threading

import pytest

from dualtower_benchmarks.load.priority import real_time

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling policies"
)


def test_the_policy_is_what_it_says_and_is_set_back() -> None:
    before = os.sched_getscheduler(0)
    inherited: list[int] = []
    with real_time() as said:
        assert (os.sched_getscheduler(0) == os.SCHED_RR) == (said == "real time")
        thread = threading.Thread(target=lambda: inherited.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
        assert inherited == [os.sched_getscheduler(0)]
    assert os.sched_getscheduler(0) == before


def test_it_is_set_back_after_an_error() -> None:
    before = os.sched_getscheduler(0)
    with pytest.raises(KeyError), real_time():
        raise KeyError("in the block")
    assert os.sched_getscheduler(0) == before
