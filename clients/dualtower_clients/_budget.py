"""A bucket of tokens: each call pays in a part of one, and what is extra takes a whole one."""

from __future__ import annotations

import threading

__all__ = ["TokenBucket"]


class TokenBucket:
    """A budget that begins full. Threads may share it.

    Args:
        capacity: how much a row of extras may take before calls have paid for it.
        refill: what one call pays in.
    """

    def __init__(self, *, capacity: float, refill: float) -> None:
        self._capacity, self._refill = capacity, refill
        self._tokens = capacity
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        return self._tokens

    @property
    def is_above_half(self) -> bool:
        """Whether there was more paid in than taken out, of late."""
        return self._tokens > self._capacity / 2

    def refill(self) -> None:
        """Pays in for one call."""
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + self._refill)

    def take(self) -> bool:
        """Takes a whole token, if there is one."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def drain(self) -> None:
        """Takes a token, or what is left of one."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)
