"""Many read or one writes, and who gives up waiting leaves nothing behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dualtower_clients.index.shared_lock import SharedLock

SOON_S = 5.0


@contextmanager
def interrupted_soon() -> Iterator[None]:
    """Ctrl-C comes while the main thread waits within."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def held(way) -> Iterator[None]:
    """The lock in the hands of another thread."""
    is_in, may_leave = threading.Event(), threading.Event()

    def hold() -> None:
        with way():
            is_in.set()
            may_leave.wait(SOON_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_in.wait(SOON_S)
    yield
    may_leave.set()
    thread.join()


def enters(way) -> bool:
    """Whether another thread comes in."""
    is_in = threading.Event()

    def enter() -> None:
        with way():
            is_in.set()

    threading.Thread(target=enter, daemon=True).start()
    return is_in.wait(SOON_S)


@pytest.mark.parametrize("holder", ["shared", "alone"])
def test_a_writer_that_is_interrupted_holds_nobody_back(holder):
    lock = SharedLock()
    with held(getattr(lock, holder)):
        with interrupted_soon(), lock.alone():
            raise AssertionError
        if holder == "shared":
            assert enters(lock.shared)
    assert enters(lock.shared)
    assert enters(lock.alone)


def test_a_reader_that_is_interrupted_is_no_reader():
    lock = SharedLock()
    with held(lock.alone), interrupted_soon(), lock.shared():
        raise AssertionError
    assert enters(lock.alone)
    assert enters(lock.shared)


def test_an_error_within_lets_the_lock_go():
    lock = SharedLock()
    for way in (lock.shared, lock.alone):
        with pytest.raises(ZeroDivisionError), way():
            raise ZeroDivisionError
        assert enters(lock.shared)
        assert enters(lock.alone)
