"""Raw observations of one measured point: three instants and a status per request.

Latency counts from the instant a request was *due*: in an open loop the scheduled one, so a request
that had to wait because the server stood still carries that wait; in a closed loop the send.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from array import array
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower.errors import UnavailableError

__all__ = ["OK", "SKIPPED", "ClockError", "Recorder", "Samples"]

OK = "OK"
SKIPPED = "SKIPPED"  # due, but not sent, since too many were in flight


class ClockError(UnavailableError, ValueError):
    """Instants of a request that cannot follow each other."""


@dataclass(frozen=True)
class Samples:
    """Requests of one point in the order of their completion; int64 nanoseconds of one clock.

    Args:
        due_ns: [n] when the request should have been sent.
        sent_ns: [n] when it was.
        done_ns: [n] when its answer or its error came.
        status: [n] str, "OK", the name of the error, or "SKIPPED" with all three instants the same.
        warmup: [n] bool, which are left out of every figure; None: none of them.
    """

    due_ns: npt.NDArray[np.int64]
    sent_ns: npt.NDArray[np.int64]
    done_ns: npt.NDArray[np.int64]
    status: npt.NDArray[np.str_]
    warmup: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if (self.sent_ns < self.due_ns).any() or (self.done_ns < self.sent_ns).any():
            raise ClockError(
                "a request was sent before it was due, or answered before it was sent: the clock "
                "went backwards, or the file was changed; measure again"
            )

    @classmethod
    def none(cls) -> Samples:
        """Of a point without a request."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, np.zeros(0, dtype=np.str_))

    def __len__(self) -> int:
        return len(self.done_ns)

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """bool [n]: which requests were answered without an error."""
        return np.asarray(self.status == OK, dtype=np.bool_)

    @property
    def latency_ns(self) -> npt.NDArray[np.int64]:
        """int64 [answered]: from due to done. An error has no latency."""
        return (self.done_ns - self.due_ns)[self.answered]

    @property
    def lag_ns(self) -> npt.NDArray[np.int64]:
        """int64 [sent]: how much later than due the generator sent; zeros in a closed loop."""
        return (self.sent_ns - self.due_ns)[self.status != SKIPPED]

    @property
    def skipped(self) -> int:
        """Requests that were due and not sent, since too many were in flight."""
        return int(np.count_nonzero(self.status == SKIPPED))

    @property
    def errors(self) -> dict[str, int]:
        """Failed requests by the name of their error."""
        failed = ~self.answered & (self.status != SKIPPED)
        return dict(Counter(self.status[failed].tolist()))

    @property
    def elapsed_s(self) -> float:
        """From the first due instant to the last completion."""
        if not len(self):
            return 0.0
        return float(self.done_ns.max() - self.due_ns.min()) / 1e9

    @property
    def measured(self) -> Samples:
        """Those that figures are made of: all but the warm-up."""
        return self if self.warmup is None else self._only(~self.warmup)

    def with_warmup(self, left_out_s: float) -> Samples:
        """The same requests, of which those due in the first seconds are marked as warm-up."""
        if not len(self):
            return self
        from_ns = int(self.due_ns.min()) + round(left_out_s * 1e9)
        return dataclasses.replace(self, warmup=self.due_ns < from_ns)

    def due_from(self, instant_ns: int) -> Samples:
        """Only the requests due at `instant_ns` or later: what follows a warm-up."""
        return self._only(self.due_ns >= instant_ns)

    def _only(self, keep: npt.NDArray[np.bool_]) -> Samples:
        return Samples(self.due_ns[keep], self.sent_ns[keep], self.done_ns[keep], self.status[keep])


class Recorder:
    """Collects requests from several threads; `samples` freezes what it has."""

    def __init__(self) -> None:
        self._instants = array("q")  # three a request: a soak has millions
        self._status: list[str] = []
        self._lock = threading.Lock()

    def add(self, due_ns: int, sent_ns: int, done_ns: int, status: str) -> None:
        with self._lock:
            self._instants.extend((due_ns, sent_ns, done_ns))
            self._status.append(sys.intern(status))

    def samples(self) -> Samples:
        with self._lock:
            instants = np.array(self._instants, dtype=np.int64).reshape(-1, 3)
            status = np.array(self._status, dtype=np.str_)
        due_ns, sent_ns, done_ns = (instants[:, place].copy() for place in range(3))
        return Samples(due_ns, sent_ns, done_ns, status)
