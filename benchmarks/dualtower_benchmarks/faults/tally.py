"""How calls ended, counted as they end: by name, to the nanosecond of the monotonic clock."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dualtower.errors import DualtowerError

__all__ = ["Tally"]


class Tally:
    """The calls of one load. Threads may share it.

    Args:
        cancels: the load cancels calls itself, so that CancelledError is what it asked for.

    Attributes:
        answered_ns: how long each right answer took.
        wrong: how many answers were not right.
        failed, unnamed: failures by name.
        longest_past_ns: of the calls that ended after their deadline.
    """

    def __init__(self, *, cancels: bool = False) -> None:
        self.calls = 0
        self.answered_ns: list[int] = []
        self.wrong = 0
        self.failed: Counter[str] = Counter()
        self.unnamed: Counter[str] = Counter()
        self.longest_past_ns: int | None = None
        self._cancels = cancels
        self._lock = threading.Lock()
        self._tokens = itertools.count()
        self._under_way: dict[int, tuple[int, int]] = {}  # when begun, and due

    @contextmanager
    def step(self, timeout_s: float) -> Iterator[None]:
        """Something beside the calls that has to end in time as well: a connect, a close."""
        token = self._begin(timeout_s)
        try:
            yield
        finally:
            self._end(token)

    def begin(self, timeout_s: float) -> int:
        """A call begins; what this gives goes to `answer` or `fail`."""
        with self._lock:
            self.calls += 1
        return self._begin(timeout_s)

    def answer(self, token: int, *, right: bool) -> None:
        """The call was answered."""
        elapsed_ns = self._end(token)
        with self._lock:
            if right:
                self.answered_ns.append(elapsed_ns)
            else:
                self.wrong += 1

    def fail(self, token: int, error: BaseException) -> None:
        """The call failed."""
        self._end(token)
        with self._lock:
            asked_for = self._cancels and isinstance(error, asyncio.CancelledError)
            is_named = asked_for or isinstance(error, DualtowerError)
            (self.failed if is_named else self.unnamed)[type(error).__name__] += 1

    def due_now(self) -> None:
        """All that is under way has to end from here on: the client is closed."""
        now_ns = time.monotonic_ns()
        with self._lock:
            for token, (begun_ns, due_ns) in self._under_way.items():
                self._under_way[token] = begun_ns, min(due_ns, now_ns)

    @property
    def hung(self) -> int:
        """What has not ended."""
        return len(self._under_way)

    def overdue_s(self) -> float:
        """By how much the oldest thing under way is late."""
        with self._lock:
            due_ns = min((due_ns for _, due_ns in self._under_way.values()), default=None)
        return 0.0 if due_ns is None else (time.monotonic_ns() - due_ns) / 1e9

    def _begin(self, timeout_s: float) -> int:
        now_ns = time.monotonic_ns()
        with self._lock:
            token = next(self._tokens)
            self._under_way[token] = now_ns, now_ns + int(timeout_s * 1e9)
        return token

    def _end(self, token: int) -> int:
        now_ns = time.monotonic_ns()
        with self._lock:
            begun_ns, due_ns = self._under_way.pop(token)
            if now_ns > due_ns:
                self.longest_past_ns = max(self.longest_past_ns or 0, now_ns - due_ns)
        return now_ns - begun_ns
