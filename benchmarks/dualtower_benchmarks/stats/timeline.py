"""A load over time: what users met, slot by slot."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from dualtower_benchmarks.load.samples import SKIPPED, Samples
from dualtower_benchmarks.stats.percentiles import minimum_samples, nearest_rank

__all__ = ["SLOTS", "timeline"]

SLOTS = 50  # about: their width is a round number of seconds
_P50_TAKES, _P99_TAKES = minimum_samples(0.5), minimum_samples(0.99)


def timeline(samples: Samples) -> list[dict[str, Any]]:
    """Slots of equal width from the first due instant on; requests count where they were due.

    Returns:
        dicts of `t_s` (of the slot's begin), `n` (answered), `p50_ms`, `p99_ms` (None with too few
        answers for it by `minimum_samples`), `errors`, `skipped`.
    """
    if not len(samples):
        return []
    first_ns = int(samples.due_ns.min())
    span_s = (int(samples.due_ns.max()) - first_ns) / 1e9
    width_s = _round_up(span_s / SLOTS) if span_s else 1.0
    slot = ((samples.due_ns - first_ns) / (width_s * 1e9)).astype(np.int64)
    order = np.argsort(slot, kind="stable")
    edges = np.searchsorted(slot[order], np.arange(int(slot.max()) + 2))
    latency_ns, ok = samples.done_ns - samples.due_ns, samples.answered
    not_sent = samples.status == SKIPPED
    rows = []
    for number, (begin, end) in enumerate(itertools.pairwise(edges.tolist())):
        inside = order[begin:end]
        answered = inside[ok[inside]]
        skipped = int(np.count_nonzero(not_sent[inside]))
        found, n = latency_ns[answered], len(answered)
        rows.append(
            {
                "t_s": round(number * width_s, 6),
                "n": n,
                "p50_ms": nearest_rank(found, 0.5) / 1e6 if n >= _P50_TAKES else None,
                "p99_ms": nearest_rank(found, 0.99) / 1e6 if n >= _P99_TAKES else None,
                "errors": len(inside) - n - skipped,
                "skipped": skipped,
            }
        )
    return rows


def _round_up(width_s: float) -> float:
    """To 1, 1.25, 1.5, 2, … times a power of ten, so that there are 40 slots to 50."""
    power = 10.0 ** math.floor(math.log10(width_s))
    steps = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return next(step * power for step in steps if step * power >= width_s * (1 - 1e-9))
