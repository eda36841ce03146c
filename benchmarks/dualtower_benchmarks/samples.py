"""Raw observations of one measured point: three instants and a status per request.

Latency counts from the instant a request was *due*: in an open loop the scheduled one, so a request
that had to wait because the server stood still carries that wait; in a closed loop the send.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["OK", "Recorder", "Samples"]

OK = "OK"


@dataclass(frozen=True)
class Samples:
    """Requests of one point in the order of their completion; int64 nanoseconds of one clock.

    Args:
        due_ns: [n] when the request should have been sent.
        sent_ns: [n] when it was.
        done_ns: [n] when its answer or its error came.
        status: [n] str, "OK" or the name of the error.
    """

    due_ns: npt.NDArray[np.int64]
    sent_ns: npt.NDArray[np.int64]
    done_ns: npt.NDArray[np.int64]
    status: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        if (self.sent_ns < self.due_ns).any() or (self.done_ns < self.sent_ns).any():
            raise ValueError("a request was sent before it was due, or answered before it was sent")

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
        """int64 [n]: how much later than due the generator sent; zeros in a closed loop."""
        return self.sent_ns - self.due_ns

    @property
    def errors(self) -> dict[str, int]:
        """Failed requests by the name of their error."""
        return dict(Counter(self.status[~self.answered].tolist()))

    @property
    def elapsed_s(self) -> float:
        """From the first due instant to the last completion."""
        if not len(self):
            return 0.0
        return float(self.done_ns.max() - self.due_ns.min()) / 1e9

    def due_from(self, instant_ns: int) -> Samples:
        """Only the requests due at `instant_ns` or later: what follows a warm-up."""
        keep = self.due_ns >= instant_ns
        return Samples(self.due_ns[keep], self.sent_ns[keep], self.done_ns[keep], self.status[keep])


class Recorder:
    """Collects requests from several threads; `samples` freezes what it has."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, str]] = []
        self._lock = threading.Lock()

    def add(self, due_ns: int, sent_ns: int, done_ns: int, status: str) -> None:
        with self._lock:
            self._rows.append((due_ns, sent_ns, done_ns, status))

    def samples(self) -> Samples:
        with self._lock:
            rows = list(self._rows)
        due, sent, done = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(3))
        return Samples(due, sent, done, np.array([row[3] for row in rows], dtype=np.str_))
