"""One search on one driver: probes as the search asks for them, verdicts back to it, a row.

    closed loop ─► start ─► search ─► Load ─► measure ─► judge ─► verdict ─► search ─► … ─► row

How a load is measured is the caller's: a process that loads a server, or a simulation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dualtower.errors import UnavailableError, UsageError
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.search import BROKE, Ask, Found, Plan, search
from dualtower_benchmarks.limit.verdict import GENERATOR, Judged, judge
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.stats.block_percentiles import BlockEstimate
from dualtower_benchmarks.stats.percentiles import nearest_rank

__all__ = ["NOTHING_BROKE", "Kept", "find_limit"]

NOTHING_BROKE, TOO_FEW_PROBES = "nothing broke", "too few probes"


class Kept(Protocol):
    """Probes of a search that was killed, and the place for further ones; 0: the closed loop."""

    def read(self, number: int) -> dict[str, Any] | None:
        """The probe of this number, if it was measured before."""

    def write(self, number: int, probe: Mapping[str, Any], samples: Samples) -> None:
        """Keeps it."""


class NothingKept:
    """For a search that is not resumed."""

    def read(self, number: int) -> dict[str, Any] | None:
        return None

    def write(self, number: int, probe: Mapping[str, Any], samples: Samples) -> None:
        pass


def find_limit(
    case: LimitCase,
    measure: Callable[[Load], LoadRun],
    *,
    seed: int,
    confidence: float,
    attempts: int,
    kept: Kept | None = None,
    note: Callable[[Mapping[str, Any]], None] = lambda probe: None,
) -> dict[str, Any]:
    """Searches the highest rate at which the SLO holds.

    Args:
        measure: sends a load and returns what it saw.
        seed: of the first probe; each further one has the next, so that no two have the same
            arrivals.
        attempts: void probes in a row after which a rate is the generator's limit.
        kept: of a search that was killed.
        note: called with each new probe.

    Returns:
        the fields of a row: limit_qps, broke_qps, why, … and all probes.

    Raises:
        UsageError: `high_qps` is too low for the percentile to have its samples in a probe.
        UnavailableError: nothing was answered.
    """
    kept = kept or NothingKept()
    calibrated_qps = _calibrated_qps(case, measure, kept, seed=seed)
    plan = _plan(case, calibrated_qps, confidence=confidence, attempts=attempts)
    probes: list[dict[str, Any]] = []
    asking = search(plan)
    try:
        ask = next(asking)
        while True:
            number = len(probes) + 1
            probe = kept.read(number)
            if probe is None:
                probe, samples = _probed(
                    case, ask, measure, seed=seed + number, confidence=confidence
                )
                kept.write(number, probe, samples)
                note(probe)
            probes.append(probe)
            ask = asking.send(probe["verdict"])
    except StopIteration as end:
        found: Found = end.value
    return {
        "limit_qps": found.held_qps,
        "broke_qps": found.broke_qps,
        "void_qps": found.void_qps,
        "why": _why(found, probes),
        "confirmed": found.confirmed,
        "complete": found.complete,
        "contradictions": [list(pair) for pair in found.contradictions],
        "calibrated_qps": calibrated_qps,
        "start_qps": plan.start_qps,
        "lowest_qps": plan.low_qps,
        "probes": probes,
    }


def _calibrated_qps(
    case: LimitCase, measure: Callable[[Load], LoadRun], kept: Kept, *, seed: int
) -> float | None:
    """Requests a second of a closed loop; None where both ends are given, so that none is run."""
    if case.low_qps and case.high_qps:
        return None
    found = kept.read(0)
    if found is None:
        samples = measure(case.closed(seed=seed)).samples
        if not len(samples.latency_ns):
            raise UnavailableError(
                f"{case.words}: a closed loop of {case.concurrency} clients got no answer "
                f"({samples.errors or 'no request was sent'}), so there is no rate to begin with; "
                "see whether the server answers this model and batch"
            )
        found = {"calibrated_qps": len(samples.latency_ns) / samples.elapsed_s}
        kept.write(0, found, samples)
    return float(found["calibrated_qps"])


def _plan(
    case: LimitCase, calibrated_qps: float | None, *, confidence: float, attempts: int
) -> Plan:
    low, high = case.lowest_qps(confidence=confidence), case.high_qps or math.inf
    if low > high:
        raise UsageError(
            f"{case.words}: at high_qps ({high:g}) p{100 * case.slo_percentile:g} has too few "
            f"samples within longest_probe_s ({case.longest_probe_s:g} s), which takes "
            f"{low:.3g} requests a second; give a longer longest_probe_s, or a lower percentile"
        )
    start = calibrated_qps / 2.0 if calibrated_qps else math.sqrt(low * high)
    return Plan(
        start_qps=min(max(start, low), high),
        low_qps=low,
        high_qps=high,
        resolution=case.resolution,
        votes=case.votes,
        attempts=attempts,
        most_probes=case.most_probes,
    )


def _probed(
    case: LimitCase,
    ask: Ask,
    measure: Callable[[Load], LoadRun],
    *,
    seed: int,
    confidence: float,
) -> tuple[dict[str, Any], Samples]:
    measured_s = case.needed_s(ask.rate_qps, confidence=confidence)
    run = measure(case.load(ask.rate_qps, measured_s=measured_s, seed=seed))
    judged = judge(run.samples, case, confidence=confidence, seed=seed)
    kept = judged.samples
    row = {
        "purpose": ask.purpose,
        "offered_qps": ask.rate_qps,
        "achieved_qps": len(kept.latency_ns) / kept.elapsed_s if kept.elapsed_s else 0.0,
        "measured_s": measured_s,
        "warmup_left_out_s": judged.left_out_s,
        "seed": seed,
        "verdict": judged.verdict,
        "reasons": list(judged.reasons),
        "p50_ms": _ms(judged.p50),
        "level_ms": _ms(judged.level),
        "rise_ms": judged.rise_ms,
        **_trend(judged),
        "n": len(kept.latency_ns),
        "errors": kept.errors,
        "skipped": kept.skipped,
        "lag_p99_ms": nearest_rank(kept.lag_ns, 0.99) / 1e6 if len(kept.lag_ns) else None,
        "generator_scheduling": run.scheduling,
    }
    return row, run.samples.with_warmup(judged.left_out_s)


def _trend(judged: Judged) -> dict[str, Any]:
    trend = judged.trend
    return {
        "stationary": trend.stationary if trend else None,
        "trend_p": trend.p if trend else None,
        "trend_ratio": trend.ratio if trend else None,
    }


def _why(found: Found, probes: Sequence[Mapping[str, Any]]) -> str:
    """What ends the interval, in a word."""
    if found.generator_bound:
        return GENERATOR
    if found.broke_qps is None:
        return NOTHING_BROKE if found.complete else TOO_FEW_PROBES
    if found.held_qps is None and not found.complete:
        return TOO_FEW_PROBES
    at_end = (
        probe for probe in probes
        if probe["offered_qps"] == found.broke_qps and probe["verdict"] == BROKE
    )  # fmt: skip
    reasons = Counter(reason for probe in at_end for reason in probe["reasons"])
    return reasons.most_common(1)[0][0]


def _ms(estimate: BlockEstimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {key: getattr(estimate, key) / 1e6 for key in ("value", "low", "high")}
