"""A load over its time, as bands of quantiles: for a figure, second by second."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from dualtower_benchmarks.load.samples import SKIPPED, Samples
from dualtower_benchmarks.stats.percentiles import minimum_samples, nearest_rank

__all__ = ["bands_of"]

_TAKES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}


def bands_of(samples: Samples, *, slot_s: float = 1.0) -> dict[str, list[Any]]:
    """Slots of equal width from the first due instant on; requests count where they were due.

    Returns:
        columns: `t_s` (of the slot's begin), `n` (answered), `p50_ms`, `p90_ms`, `p99_ms` (None
        with too few answers by `minimum_samples`), `slowest_ms` (None without any), `failed`,
        `skipped`.
    """
    names = ("t_s", "n", *_TAKES, "slowest_ms", "failed", "skipped")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    if not len(samples):
        return columns
    first_ns = int(samples.due_ns.min())
    slot = ((samples.due_ns - first_ns) / (slot_s * 1e9)).astype(np.int64)
    order = np.argsort(slot, kind="stable")
    slots = math.floor(int(slot.max())) + 1
    edges = np.searchsorted(slot[order], np.arange(slots + 1))
    latency_ns, ok = samples.done_ns - samples.due_ns, samples.answered
    not_sent = samples.status == SKIPPED
    for number, (begin, end) in enumerate(itertools.pairwise(edges.tolist())):
        inside = order[begin:end]
        found = latency_ns[inside[ok[inside]]]
        skipped = int(np.count_nonzero(not_sent[inside]))
        columns["t_s"].append(round(number * slot_s, 6))
        columns["n"].append(len(found))
        for name, q in _TAKES.items():
            enough = len(found) >= minimum_samples(q)
            columns[name].append(nearest_rank(found, q) / 1e6 if enough else None)
        columns["slowest_ms"].append(float(found.max()) / 1e6 if len(found) else None)
        columns["failed"].append(len(inside) - len(found) - skipped)
        columns["skipped"].append(skipped)
    return columns
