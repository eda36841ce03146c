"""When a service is itself again: the first second in which its p99 is within the SLO."""

from __future__ import annotations

import numpy as np

from dualtower_benchmarks.load.samples import Samples

__all__ = ["recovered_s"]

_SECOND_NS, _STEP_NS = 1_000_000_000, 100_000_000
_SHARE = 0.99


def recovered_s(samples: Samples, *, from_ns: int, until_ns: int, slo_ms: float) -> float | None:
    """Seconds from `from_ns` to the first second that is good; it is looked for every 0.1 s.

    A second is good when of the requests due in it at least 99 % were answered within the SLO,
    which is what a p99 within it means; whatever failed or was skipped was not.

    Args:
        until_ns: of the load; a second that reaches beyond it does not count.

    Returns:
        0.0 where it never was otherwise; None where no second was good, or none had a request.
    """
    order = np.argsort(samples.due_ns, kind="stable")
    due_ns = samples.due_ns[order]
    latency_ns = samples.done_ns - samples.due_ns
    good = (samples.answered & (latency_ns <= slo_ms * 1e6))[order]
    counted = np.concatenate([[0], np.cumsum(good)])
    for begin_ns in range(from_ns, until_ns - _SECOND_NS + 1, _STEP_NS):
        low, high = np.searchsorted(due_ns, [begin_ns, begin_ns + _SECOND_NS])
        if high > low and counted[high] - counted[low] >= _SHARE * (high - low):
            return (begin_ns - from_ns) / 1e9
    return None
