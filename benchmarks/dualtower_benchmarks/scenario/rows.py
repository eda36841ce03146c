"""A measured case as a row of the results. Every row has the same keys, units in their names.

What is left out at the head, and whether the rest kept its level, says `stats.steady`; intervals
are by blocks of time (`stats.block_percentiles`). Where a schedule was not kept the row is *void*:
it has a reason and no percentiles. The generator's p99 lag may be 5 % of what the p99 should stay
below (`slo_p99_ms`), no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.jobs import SERVED
from dualtower_benchmarks.stats.block_percentiles import BlockEstimate, block_percentiles
from dualtower_benchmarks.stats.blocks import Slotted
from dualtower_benchmarks.stats.percentiles import nearest_rank
from dualtower_benchmarks.stats.steady import steady_part
from dualtower_benchmarks.stats.timeline import timeline

__all__ = ["LAG_SHARE", "PERCENTILES", "row_of", "void_reason"]

LAG_SHARE = 0.05
PERCENTILES = {
    "p50_ms": 0.5,
    "p90_ms": 0.9,
    "p95_ms": 0.95,
    "p99_ms": 0.99,
    "p99_9_ms": 0.999,
    "p99_99_ms": 0.9999,
}


def row_of(
    case: Case,
    run: LoadRun,
    facts: Mapping[str, Any],
    *,
    repeat: int,
    engine: str,
    offered_qps: float | None,
    confidence: float,
    seed: int = 0,
) -> tuple[dict[str, Any], Samples]:
    """The row, and the samples after the warm-up that it is made of.

    Args:
        facts: of the driver.
        offered_qps: of an open loop: arrivals a second of its schedule.
        seed: of the resampling.
    """
    steady = steady_part(run.samples, warmup_s=case.warmup_s, seed=seed)
    samples = steady.samples
    trend = steady.trend
    void = void_reason(samples, slo_p99_ms=case.slo_p99_ms) if case.loop == "open" else None
    latency_ns = samples.latency_ns
    qps = len(latency_ns) / samples.elapsed_s if samples.elapsed_s else 0.0
    row = {
        "key": case.key,
        "subject": case.subject_key,
        "repeat": repeat,
        **case.as_json(),
        "engine": engine if case.driver in SERVED else "",
        "device_found": facts.get("device", "unknown"),
        "device_name": facts.get("device_name"),
        "offered_qps": offered_qps if case.loop == "open" else None,
        "achieved_qps": qps,
        "rows_per_s": qps * case.batch_rows,
        **_percentiles(Samples.none() if void else samples, confidence=confidence, seed=seed),
        "n": len(latency_ns),
        "errors": samples.errors,
        "skipped": samples.skipped,
        "lag_p99_ms": _lag_p99_ms(samples) if case.loop == "open" else None,
        "lag_limit_ms": case.slo_p99_ms * LAG_SHARE if case.loop == "open" else None,
        "generator_scheduling": run.scheduling,
        "void": void,
        "warmup_left_out_s": steady.left_out_s,
        "stationary": trend.stationary if trend and not void else None,
        "trend_p": trend.p if trend and not void else None,
        "trend_ratio": trend.ratio if trend and not void else None,
        "elapsed_s": samples.elapsed_s,
        "timeline": timeline(run.samples),
        "facts": dict(facts),
    }
    return row, samples


def void_reason(samples: Samples, *, slo_p99_ms: float) -> str | None:
    """Why the latencies of an open loop tell about the generator; None: they do not."""
    lag_ms = _lag_p99_ms(samples)
    if lag_ms is None or not len(samples.latency_ns):
        return "no request was answered"
    limit_ms = slo_p99_ms * LAG_SHARE
    if lag_ms <= limit_ms:
        return None
    return (
        f"the generator's p99 lag was {lag_ms:.2f} ms, the limit is {limit_ms:.2f} ms, "
        f"{LAG_SHARE:.0%} of {slo_p99_ms:g} ms"
    )


def _lag_p99_ms(samples: Samples) -> float | None:
    return nearest_rank(samples.lag_ns, 0.99) / 1e6 if len(samples.lag_ns) else None


def _percentiles(samples: Samples, *, confidence: float, seed: int) -> dict[str, Any]:
    slotted = Slotted.of(samples.latency_ns, samples.due_ns[samples.answered])
    estimates = block_percentiles(
        slotted, list(PERCENTILES.values()), seed=seed, confidence=confidence
    )
    found = dict(zip(PERCENTILES, estimates, strict=True))
    return {
        **{name: _ms(estimate) for name, estimate in found.items()},
        "effective_n": {name: one.effective_n if one else None for name, one in found.items()},
        "block_s": next((one.block_s for one in found.values() if one), None),
    }


def _ms(estimate: BlockEstimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {key: getattr(estimate, key) / 1e6 for key in ("value", "low", "high")}
