"""When a second attempt is worth sending: after the usual latency, and within a budget.

    latency of each attempt ─► a window for each method, model and replica ─► percentile of each
                                                     lower median over the replicas ─► the delay

The median, because the hedge goes to another replica than the slow one: what counts is how long
the others take. A single window over all of them would hold the slow one's latencies too, and with
one slow replica of three no hedge would ever be early enough.

What was cancelled because its hedge overtook it is observed with the time that it had taken by
then. That is longer than the percentile, and so leaves the percentile where it is.
"""

from __future__ import annotations

import threading

from dualtower_clients._budget import TokenBucket
from dualtower_clients._latency import LatencyWindow
from dualtower_clients.settings import HedgePolicy

__all__ = ["Hedging"]

_BURST = 10.0  # hedges in a row that calls have not paid for yet
_MAX_KINDS = 256  # of method and model; a caller that makes up names does not fill the memory


class Hedging:
    """What all calls of a client know about hedges. Threads may share it."""

    def __init__(self, policy: HedgePolicy) -> None:
        self._policy = policy
        self._budget = TokenBucket(capacity=_BURST, refill=policy.max_extra)
        self._windows: dict[tuple[str, str], dict[int, LatencyWindow]] = {}
        self._lock = threading.Lock()

    def observe(self, method: str, model: str, replica: int, latency_ns: int) -> None:
        """Takes in how long an attempt took."""
        kind = (method, model)
        with self._lock:
            if kind not in self._windows and len(self._windows) == _MAX_KINDS:
                del self._windows[next(iter(self._windows))]
            of_replicas = self._windows.setdefault(kind, {})
            window = of_replicas.get(replica)
            if window is None:
                window = of_replicas[replica] = LatencyWindow(self._policy.window)
        window.add(latency_ns)

    def delay_ns(self, method: str, model: str) -> int | None:
        """How long a first attempt may take before it is hedged; None while too little is known."""
        with self._lock:
            windows = list(self._windows.get((method, model), {}).values())
        usual = sorted(
            window.percentile_ns(self._policy.percentile)
            for window in windows
            if len(window) >= self._policy.min_observations
        )
        return usual[(len(usual) - 1) // 2] if usual else None

    def pay_in(self) -> None:
        """Each call pays for a part of a hedge."""
        self._budget.refill()

    def take(self) -> bool:
        """Whether a hedge may be sent now; it is paid with this."""
        return self._budget.take()
