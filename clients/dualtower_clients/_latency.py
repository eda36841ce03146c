"""The latencies observed of late, and a percentile of them. Threads may share one window."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import deque

__all__ = ["LatencyWindow"]


class LatencyWindow:
    """The last `size` latencies, kept in order so that a percentile costs nothing to read.

    Args:
        size: how many latencies count.
    """

    def __init__(self, size: int) -> None:
        self._last: deque[int] = deque()
        self._ordered: list[int] = []
        self._size = size
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, latency_ns: int) -> None:
        """Takes one in; the oldest one leaves where the window is full."""
        with self._lock:
            if len(self._last) == self._size:
                del self._ordered[bisect_left(self._ordered, self._last.popleft())]
            self._last.append(latency_ns)
            insort(self._ordered, latency_ns)

    def percentile_ns(self, percentile: float) -> int:
        """The smallest latency that at least so many percent do not exceed (the nearest rank)."""
        with self._lock:
            rank = -(-len(self._ordered) * percentile // 100)
            return self._ordered[max(int(rank), 1) - 1]
