"""A lock that many may share and one may have alone; who wants it alone is not kept waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SharedLock"]


class SharedLock:
    """Readers enter `shared`, writers `alone`. A writer that waits holds new readers back."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writers = 0  # that wait or work
        self._writing = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        is_in = False
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._writers)
                self._readers += 1
                is_in = True
            yield
        finally:
            with self._changed:
                if is_in:
                    self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        is_waiting = is_in = False
        try:
            with self._changed:
                self._writers += 1
                is_waiting = True
                self._changed.wait_for(lambda: not self._readers and not self._writing)
                self._writing = is_in = True
            yield
        finally:  # also of who gave up waiting, as by Ctrl-C: it holds readers back no longer
            with self._changed:
                if is_in:
                    self._writing = False
                if is_waiting:
                    self._writers -= 1
                self._changed.notify_all()
