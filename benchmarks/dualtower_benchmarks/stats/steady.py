"""The part of a load that its percentiles are made of: after the warm-up, with a verdict on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.stats.stationarity import Trend, trend_of
from dualtower_benchmarks.stats.warmup import transient

__all__ = ["Steady", "steady_part"]


@dataclass(frozen=True)
class Steady:
    """What is left of a load.

    Args:
        samples: the requests that were due after the warm-up.
        left_out_s: from the first due instant of the load to that of the first request that stays.
        trend: of the latencies that are left; None where they are too few to tell.
    """

    samples: Samples
    left_out_s: float
    trend: Trend | None


def steady_part(samples: Samples, *, warmup_s: float, seed: int) -> Steady:
    """Leaves out the warm-up that was asked for, and a transient that lasts longer."""
    if not len(samples):
        return Steady(samples, warmup_s, None)
    first_ns = int(samples.due_ns.min())
    from_ns = first_ns + int(warmup_s * 1e9)
    kept = samples.due_from(from_ns)
    due_ns, latency_ns = _by_due(kept)
    cut = transient(latency_ns)
    if cut:
        from_ns = int(due_ns[cut])
        kept, latency_ns = kept.due_from(from_ns), latency_ns[cut:]
    return Steady(kept, (from_ns - first_ns) / 1e9, trend_of(latency_ns, seed=seed))


def _by_due(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Due instants and latencies of the answered requests, in the order of the due instants."""
    due_ns = samples.due_ns[samples.answered]
    order = np.argsort(due_ns, kind="stable")
    return due_ns[order], samples.latency_ns[order]
