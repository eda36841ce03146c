"""A bucket of tokens: each call pays in a part of one, and what is extra takes a whole one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["TokenBucket"]


class TokenBucket:
    """A budget that begins full. Threads may share it.

    Args:
        capacity: how much a row of extras may take before calls have paid for it.
        refill: what one call pays in.
        refill_per_s: what time pays in.
        now_s: a clock that does not jump.
    """

    def __init__(
        self,
        *,
        capacity: float,
        refill: float,
        refill_per_s: float = 0.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity, self._refill, self._refill_per_s = capacity, refill, refill_per_s
        self._now_s = now_s
        self._tokens, self._counted_s = capacity, now_s()
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        """What is left."""
        with self._lock:
            self._pay_in(0.0)
            return self._tokens

    @property
    def is_above_half(self) -> bool:
        """Whether there was more paid in than taken out, of late."""
        return self.tokens > self._capacity / 2

    def refill(self) -> None:
        """Pays in for one call."""
        with self._lock:
            self._pay_in(self._refill)

    def take(self) -> bool:
        """Takes a whole token, if there is one."""
        with self._lock:
            self._pay_in(0.0)
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def drain(self) -> None:
        """Takes a token, or what is left of one."""
        with self._lock:
            self._pay_in(0.0)
            self._tokens = max(0.0, self._tokens - 1)

    def _pay_in(self, tokens: float) -> None:
        now_s = self._now_s()
        tokens += (now_s - self._counted_s) * self._refill_per_s
        self._tokens = min(self._capacity, self._tokens + tokens)
        self._counted_s = now_s
