"""How many requests at a time: found by trying, from what comes back. Pure; the clock goes in.

    more while rows a second rise ──► best ──► one more, now and then: still the best?
                                       ▲                   │ no
    busy, lost, late: half             └───────────────────┘

The throughput of a server rises with the requests under way until it has enough to do; from there
on only their latency rises. (Little's law; the halving is that of TCP, RFC 5681.)
"""

from __future__ import annotations

__all__ = ["AdaptiveLimit"]

_GAIN = 1.05  # of rows a second; less may be chance
_LEAST_ANSWERS = 4  # that a rate is measured over
_HOLD = 8  # measurements at the best limit before one more is tried again
_START = 2


class AdaptiveLimit:
    """A limit of requests under way.

    Args:
        most: that it never exceeds.
        now_ns: the time, of a clock that does not jump.

    Attributes:
        value: the limit, at least 1.
    """

    def __init__(self, most: int, now_ns: int) -> None:
        self.value = min(_START, most)
        self._most = most
        self._best = self.value
        self._best_rate = 0.0  # rows a second at that limit
        self._doubles = True  # until the first time that more did not help
        self._held = 0
        self._backed_off_ns = now_ns
        self._begin(now_ns)

    def answered(self, rows: int, now_ns: int) -> None:
        """A request of so many rows was answered."""
        self._rows += rows
        self._answers += 1
        if self._answers >= max(_LEAST_ANSWERS, 2 * self.value) and now_ns > self._begin_ns:
            self._measured(self._rows * 1e9 / (now_ns - self._begin_ns))
            self._begin(now_ns)

    def overloaded(self, began_ns: int, now_ns: int) -> None:
        """A request that was sent at `began_ns` found the server busy, lost, or too slow."""
        if began_ns < self._backed_off_ns:  # it was under way already when the limit was halved
            return
        self.value = self._best = max(1, self.value // 2)
        self._best_rate = 0.0
        self._doubles = False
        self._held = 0
        self._backed_off_ns = now_ns
        self._begin(now_ns)

    def _measured(self, rate: float) -> None:
        is_trial = self.value != self._best
        if is_trial and rate < self._best_rate * _GAIN:
            self.value, self._doubles, self._held = self._best, False, 0
            return
        first = self._best_rate == 0.0
        self._best, self._best_rate = self.value, rate
        self._held = 0 if is_trial else self._held + 1
        if is_trial or first or self._held >= _HOLD:
            self._held = 0
            self.value = min(self._most, self.value * 2 if self._doubles else self.value + 1)

    def _begin(self, now_ns: int) -> None:
        self._begin_ns, self._rows, self._answers = now_ns, 0, 0
