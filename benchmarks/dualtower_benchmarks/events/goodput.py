"""Answers that came in time, by what was offered; and whether they become fewer when more is asked.

Goodput is the answers within their deadline a second (as in congestion control: RFC 5166, section
2.1, the part of the throughput that is useful). A service that keeps working on requests whose
callers are gone loses it just when it is short: its goodput collapses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dualtower_benchmarks.load.samples import Samples

__all__ = ["COLLAPSES", "HOLDS", "goodput_of", "judged"]

COLLAPSES, HOLDS = "collapses", "holds"
_REJECTED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
_LATE = "DEADLINE_EXCEEDED"


def goodput_of(samples: Samples, *, seconds: float, deadline_ms: float) -> dict[str, Any]:
    """Counts of the requests due in `seconds`: good, late, rejected, failed or skipped.

    A deadline counts from the instant a request was due, so one that waited in the generator is
    late, too.
    """
    latency_ns = samples.done_ns - samples.due_ns
    good = samples.answered & (latency_ns <= deadline_ms * 1e6)
    errors = samples.errors
    late = int(np.count_nonzero(samples.answered & ~good)) + errors.get(_LATE, 0)
    rejected = {name: errors[name] for name in _REJECTED if name in errors}
    others = {name: n for name, n in errors.items() if name not in (*_REJECTED, _LATE)}
    return {
        "seconds": seconds,
        "due": len(samples),
        "offered_qps": len(samples) / seconds,
        "goodput_qps": int(np.count_nonzero(good)) / seconds,
        "good": int(np.count_nonzero(good)),
        "late": late,
        "rejected": rejected,
        "failed": others,
        "skipped": samples.skipped,
    }


def judged(steps: Sequence[Mapping[str, Any]], *, floor: float) -> dict[str, Any]:
    """The verdict of a series in ascending order of its load; None where its last step is void.

    Args:
        steps: `goodput_of` each, with `void`.
        floor: goodput of the last step as a share of the best, below which it collapses.
    """
    valid = [step for step in steps if step["void"] is None]
    best = max((step["goodput_qps"] for step in valid), default=0.0)
    if not valid or steps[-1]["void"] is not None or not best:
        return {"verdict": None, "goodput_share": None, "best_goodput_qps": best or None}
    share = steps[-1]["goodput_qps"] / best
    return {
        "verdict": COLLAPSES if share < floor else HOLDS,
        "goodput_share": share,
        "best_goodput_qps": best,
    }
