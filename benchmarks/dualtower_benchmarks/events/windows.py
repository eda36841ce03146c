"""What a load met within some windows of its time: percentiles, the slowest, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.rows import LAG_SHARE
from dualtower_benchmarks.stats.block_percentiles import block_percentiles
from dualtower_benchmarks.stats.blocks import Slotted
from dualtower_benchmarks.stats.percentiles import nearest_rank

__all__ = ["PERCENTILES", "Window", "part_of", "within"]

PERCENTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}

Window = tuple[int, int]  # nanoseconds of the clock of the requests, the end not in it


def within(samples: Samples, windows: Sequence[Window]) -> Samples:
    """The requests that were due in any of the windows."""
    inside = np.zeros(len(samples), dtype=np.bool_)
    for begin_ns, end_ns in windows:
        inside |= (samples.due_ns >= begin_ns) & (samples.due_ns < end_ns)
    return Samples(
        samples.due_ns[inside], samples.sent_ns[inside], samples.done_ns[inside],
        samples.status[inside],
    )  # fmt: skip


def part_of(
    samples: Samples,
    windows: Sequence[Window],
    *,
    slo_p99_ms: float,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """Percentiles with intervals by blocks of time, of the windows as if they followed each other.

    Where the generator's p99 lag exceeds 5 % of the SLO the part is void: no percentiles.
    """
    found = within(samples, windows)
    lag_ms = nearest_rank(found.lag_ns, 0.99) / 1e6 if len(found.lag_ns) else None
    void = None
    if lag_ms is not None and lag_ms > slo_p99_ms * LAG_SHARE:
        void = (
            f"the generator's p99 lag was {lag_ms:.2f} ms, the limit is "
            f"{slo_p99_ms * LAG_SHARE:.2f} ms, {LAG_SHARE:.0%} of {slo_p99_ms:g} ms"
        )
    latency_ns = found.latency_ns
    slotted = Slotted.of(latency_ns, _joined_ns(found.due_ns[found.answered], windows))
    estimates = block_percentiles(
        slotted, list(PERCENTILES.values()), seed=seed, confidence=confidence
    )
    levels = {
        name: None
        if one is None or void
        else {key: getattr(one, key) / 1e6 for key in ("value", "low", "high")}
        for name, one in zip(PERCENTILES, estimates, strict=True)
    }
    return {
        "seconds": sum(max(0, end - begin) for begin, end in windows) / 1e9,
        "n": len(latency_ns),
        **levels,
        "slowest_ms": float(latency_ns.max()) / 1e6 if len(latency_ns) and not void else None,
        "failed": found.errors,
        "skipped": found.skipped,
        "lag_p99_ms": lag_ms,
        "void": void,
    }


def _joined_ns(due_ns: npt.NDArray[np.int64], windows: Sequence[Window]) -> npt.NDArray[np.int64]:
    """Due instants with the time between the windows taken out."""
    joined, past_ns = np.zeros(len(due_ns), dtype=np.int64), 0
    for begin_ns, end_ns in sorted(windows):
        inside = (due_ns >= begin_ns) & (due_ns < end_ns)
        joined[inside] = due_ns[inside] - begin_ns + past_ns
        past_ns += max(0, end_ns - begin_ns)
    return joined
