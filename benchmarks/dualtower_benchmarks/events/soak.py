"""The same load for long: does the server's memory grow, does its p99?

A growth is said only where the interval of the slope excludes zero *and* the growth over the run
exceeds a floor: an allocator that takes its first hundred pages is no leak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.events.bands import bands_of
from dualtower_benchmarks.events.loads import rate_of
from dualtower_benchmarks.events.measured import Event, Measured
from dualtower_benchmarks.events.memory import MemoryCurve
from dualtower_benchmarks.events.windows import part_of
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.scenario.jobs import job_of
from dualtower_benchmarks.stats.theil_sen import block_medians, slope_of

__all__ = ["LATENCY_FLOOR_SHARE", "growth_of", "measure"]

LATENCY_FLOOR_SHARE = 0.1  # of the first level; a p99 that grows by less is not said to
_BLOCKS = 60
_SLOT_S, _FEWEST_SLOTS = 60.0, 10


def measure(event: Event) -> Measured:
    """Runs one open loop and reads the server's process meanwhile.

    Raises:
        NotHere: the server's process cannot be read.
    """
    case, place = event.case, event.place
    event.own_server(what="reads the server's process", docker=False)
    with place.server(case) as engine:
        event.keep(engine)
        if engine.process_id is None:
            raise NotHere("the server's process is not known, so its memory cannot be read")
        job = job_of(case, place.bundle, place.settings, engine)
        with LoadProcess(job) as process:
            rate_qps, capacity_qps = rate_of(case, process)
            with MemoryCurve(engine.process_id) as curve:
                samples = process.run(case.load(rate_qps, seed=event.seed)).samples
    begin_ns, end_ns = int(samples.due_ns.min()), int(samples.due_ns.max()) + 1
    warm_ns = begin_ns + int(case.warmup_s * 1e9)
    confidence = place.settings.confidence
    whole = part_of(
        samples,
        [(warm_ns, end_ns)],
        slo_p99_ms=case.slo_p99_ms,
        confidence=confidence,
        seed=place.settings.seed,
    )
    slot_s = min(_SLOT_S, case.measured_s / _FEWEST_SLOTS)
    minutes = bands_of(samples.due_from(warm_ns), slot_s=slot_s)
    warm_s = (warm_ns - curve.begin_ns) / 1e9
    return Measured(
        {
            "whole": whole,
            "slot_s": slot_s,
            "minutes": minutes,
            "memory": {**curve.columns, "warm_from_s": round(warm_s, 3)},
            "pss": curve.pss,
            "memory_growth": growth_of(
                curve.columns["t_s"], curve.columns["rss_mb"], from_s=warm_s,
                floor=case.memory_floor_mb, confidence=confidence,
            ),
            "p99_growth": _latency_growth(minutes, confidence=confidence),
        },
        loads=[samples],
        engine=engine.engine,
        capacity_qps=capacity_qps,
        offered_qps=rate_qps,
        void=curve.ended or whole["void"],
    )  # fmt: skip


def growth_of(
    t_s: Sequence[float],
    values: Sequence[float],
    *,
    from_s: float,
    floor: float,
    confidence: float,
) -> dict[str, Any] | None:
    """By how much a series grew from `from_s` on, by Theil and Sen; None: too few values.

    Returns:
        `value`, `low`, `high` in the unit of the values over the whole span, `per_hour`, `span_s`,
        `n` (blocks), `floor`, and the verdict `grows`.
    """
    x, y = np.array(t_s, dtype=np.float64), np.array(values, dtype=np.float64)
    kept = x >= from_s
    x, y = block_medians(x[kept], y[kept], blocks=_BLOCKS)
    slope = slope_of(x, y, confidence=confidence)
    if slope is None:
        return None
    span_s = float(x[-1] - x[0])
    grown = {name: getattr(slope, name) * span_s for name in ("value", "low", "high")}
    return {
        **grown,
        "per_hour": slope.value * 3600.0,
        "span_s": span_s,
        "n": slope.n,
        "floor": floor,
        "grows": bool(grown["low"] > 0 and grown["value"] > floor),
    }


def _latency_growth(
    minutes: Mapping[str, Sequence[Any]], *, confidence: float
) -> dict[str, Any] | None:
    """Of the p99 by minute, where there are enough of them."""
    there = [
        (t_s, p99)
        for t_s, p99 in zip(minutes["t_s"], minutes["p99_ms"], strict=True)
        if p99 is not None
    ]
    if not there:
        return None
    t_s, p99_ms = zip(*there, strict=True)
    floor = LATENCY_FLOOR_SHARE * float(np.median(p99_ms))
    return growth_of(t_s, p99_ms, from_s=0.0, floor=floor, confidence=confidence)
