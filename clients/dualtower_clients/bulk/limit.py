"""How many requests at a time: found by trying, from what comes back. Pure; the clock goes in.

    twice as many, while rows a second rise ─► the best limit ◄──────────────────┐
                                                 │ now and then                  │
                                                 ├ some more:  5 % faster? stays │
                                                 └ some fewer: as fast?    stays ┴ else back
    busy, lost, late: half; who was lost may take it all again, and is tried by doubling

The throughput of a server rises with the requests under way until it has enough to do; from there
on only their latency rises. (Little's law; the halving is that of TCP, RFC 5681.)
"""

from __future__ import annotations

__all__ = ["AdaptiveLimit"]

_GAIN = 1.05  # of rows a second, which makes more requests worth it; less may be chance
_LOSS = 0.97  # which fewer requests may cost, likewise
_STEP = 8  # a trial moves by an eighth, so that a limit that matters shows in the rate
_LEAST_ANSWERS = 8  # that a rate is measured over
_HOLD = 6  # measurements at the best limit between two trials
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
        self._best_rate = 0.0  # rows a second at that limit; 0 before it was measured
        self._doubles = True  # until the first time that more did not help
        self._is_up = True  # the direction of the next trial
        self._held = 0
        self._backed_off_ns = now_ns
        self._under_way = 0  # answers to requests that were sent under another limit
        self._begin(now_ns)

    def answered(self, rows: int, now_ns: int) -> None:
        """A request of so many rows was answered."""
        if self._under_way > 0:
            self._under_way -= 1
            self._begin(now_ns)
            return
        self._rows += rows
        self._answers += 1
        if self._answers >= max(_LEAST_ANSWERS, 4 * self.value) and now_ns > self._begin_ns:
            self._measured(self._rows * 1e9 / (now_ns - self._begin_ns))
            self._begin(now_ns)

    def overloaded(self, began_ns: int, now_ns: int, *, is_lost: bool = False) -> None:
        """A request that was sent at `began_ns` found the server busy, lost, or too slow."""
        if began_ns < self._backed_off_ns:  # it was under way already when the limit was halved
            return
        self._move(max(1, self.value // 2))
        self._best, self._best_rate = self.value, 0.0
        self._doubles = is_lost
        self._held = 0
        self._backed_off_ns = now_ns
        self._begin(now_ns)

    def _measured(self, rate: float) -> None:
        if self.value == self._best:
            self._held += 1
            is_due = self._doubles or self._held >= _HOLD
            self._best_rate = rate
        else:
            least = self._best_rate * (_GAIN if self.value > self._best else _LOSS)
            is_better = rate >= least
            if is_better:
                self._best, self._best_rate = self.value, rate
            elif self._doubles:
                self._doubles = False
            is_due = is_better and self._doubles
            self._held = 0
        self._move(self._trial() if is_due else self._best)

    def _trial(self) -> int:
        if self._doubles:
            return min(self._most, self._best * 2)
        self._held = 0
        step = max(1, self._best // _STEP)
        moved = self._best + (step if self._is_up else -step)
        self._is_up = not self._is_up
        return min(self._most, max(1, moved))

    def _move(self, value: int) -> None:
        if value != self.value:
            self._under_way = self.value
            self.value = value

    def _begin(self, now_ns: int) -> None:
        self._begin_ns, self._rows, self._answers = now_ns, 0, 0
