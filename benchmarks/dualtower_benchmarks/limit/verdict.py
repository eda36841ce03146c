"""Whether a probe held its SLO: by its percentile, its failures, and whether the queue grew.

    void    the generator lagged, or the percentile has too few samples: it says nothing
    broke   the percentile, the share of failures, or a queue that grew
    held    none of these

A queue that grows has no percentile: the longer the probe, the larger it comes out. Its level must
have moved by the test of `stats.stationarity`, upwards, and by so much that the SLO notices, since
a movement of a tenth of a millisecond is the machine's and not a queue's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.search import BROKE, HELD, VOID
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.rows import LAG_SHARE, void_reason
from dualtower_benchmarks.stats.block_percentiles import BlockEstimate, block_percentiles
from dualtower_benchmarks.stats.blocks import Slotted
from dualtower_benchmarks.stats.stationarity import Trend
from dualtower_benchmarks.stats.steady import steady_part

__all__ = ["GENERATOR", "REASONS", "Judged", "judge"]

LATENCY, ERRORS, SKIPPED, GROWTH = "latency", "errors", "skipped", "growth"
GENERATOR, TOO_FEW = "generator", "too few samples"
REASONS = (LATENCY, ERRORS, SKIPPED, GROWTH, GENERATOR, TOO_FEW)
RISE_SHARE = LAG_SHARE  # of the SLO: what the median may rise by from first half to second


@dataclass(frozen=True)
class Judged:
    """A probe's verdict, and what it rests on.

    Args:
        reasons: of REASONS; empty where it held.
        samples: what is left after the warm-up.
        left_out_s: the warm-up that was left out.
        p50, level: the median, and the SLO's percentile, nanoseconds; None: too few samples.
        rise_ms: of the median from the first half to the second; None: nothing was answered.
    """

    verdict: str
    reasons: tuple[str, ...]
    samples: Samples
    left_out_s: float
    p50: BlockEstimate | None
    level: BlockEstimate | None
    trend: Trend | None
    rise_ms: float | None


def judge(samples: Samples, case: LimitCase, *, confidence: float, seed: int) -> Judged:
    """Judges a probe by all requests that were due in it, its warm-up with them."""
    steady = steady_part(samples, warmup_s=case.warmup_s, seed=seed)
    kept, trend = steady.samples, steady.trend
    slotted = Slotted.of(kept.latency_ns, kept.due_ns[kept.answered])
    p50, level = block_percentiles(
        slotted, [0.5, case.slo_percentile], seed=seed, confidence=confidence
    )
    rise_ms = _rise_ms(kept)
    reasons = _broken(kept, case, level, trend, rise_ms)
    verdict = BROKE if reasons else HELD
    lags = len(kept.latency_ns) and void_reason(kept, slo_p99_ms=case.slo_ms) is not None
    if lags:
        verdict, reasons = VOID, [GENERATOR]
    elif not reasons and level is None:
        verdict, reasons = VOID, [TOO_FEW]
    return Judged(verdict, tuple(reasons), kept, steady.left_out_s, p50, level, trend, rise_ms)


def _broken(
    kept: Samples,
    case: LimitCase,
    level: BlockEstimate | None,
    trend: Trend | None,
    rise_ms: float | None,
) -> list[str]:
    reasons = []
    if level is not None and level.value > case.slo_ms * 1e6:
        reasons.append(LATENCY)
    failed = sum(kept.errors.values())
    if failed + kept.skipped > case.max_error_share * len(kept):
        reasons += [ERRORS] if failed else []
        reasons += [SKIPPED] if kept.skipped else []
    moved = trend is not None and not trend.stationary and trend.ratio > 1.0
    if moved and rise_ms is not None and rise_ms > RISE_SHARE * case.slo_ms:
        reasons.append(GROWTH)
    return reasons


def _rise_ms(kept: Samples) -> float | None:
    latency_ns = kept.latency_ns
    if len(latency_ns) < 2:
        return None
    ordered = latency_ns[np.argsort(kept.due_ns[kept.answered], kind="stable")]
    half = len(ordered) // 2
    return float(np.median(ordered[half:]) - np.median(ordered[:half])) / 1e6
