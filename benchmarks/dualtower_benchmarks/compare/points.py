"""One point of both files: whether it can be compared, and what its measures became."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dualtower_benchmarks.compare.alike import row_reasons
from dualtower_benchmarks.compare.effect import failed_effect, percentile_effect, rate_effect
from dualtower_benchmarks.compare.side import Run, Side
from dualtower_benchmarks.compare.verdicts import (
    NOT_COMPARABLE,
    WITHIN_NOISE,
    Judged,
    Point,
    measure_word,
)
from dualtower_benchmarks.pace.summary import slower, slower_words
from dualtower_benchmarks.scenario.rows import PERCENTILES
from dualtower_benchmarks.stats.percentiles import minimum_samples

__all__ = ["point_of"]


def point_of(
    key: str,
    a: Side,
    b: Side,
    everywhere: Sequence[str],
    across: Collection[str],
    percentiles: Sequence[str],
    threshold: float,
    confidence: float,
    seed: int,
    noises: Sequence[Mapping[str, Any] | None],
) -> Point:
    """The point with its effects, not yet judged.

    Args:
        noises: of A's repeats, of B's, and of earlier runs, as far as they are known.
    """
    old, new = a.runs.get(key, []), b.runs.get(key, [])
    pace = slower(a.document, b.document, key)
    row_a, row = a.rows[key], b.rows[key]
    reasons = [
        *everywhere,
        *row_reasons(row_a, row, across=across),
        *(f"void in {name}: {side.rows[key]['void']}"
          for name, side, runs in (("A", a, old), ("B", b, new)) if not runs),
    ]  # fmt: skip
    blank = Point(key, row, row_a["offered_qps"], NOT_COMPARABLE, reasons=tuple(reasons))
    if reasons:
        return blank
    effects: list[Judged] = []
    notes: list[str] = []

    def margin(measure: str) -> tuple[float, float | None]:
        noise = _noise(measure, key, noises)
        return max(1.0 + threshold, noise or 1.0, pace or 1.0, 1.0 / (pace or 1.0)), noise

    for asked in percentiles:
        measure = _measurable(asked, (*old, *new), confidence)
        if measure != asked:
            notes.append(f"too few samples for {measure_word(asked)}" + (
                f", {measure_word(measure)} instead" if measure else ""))  # fmt: skip
        if measure is None or any(one.effect.measure == measure for one in effects):
            continue
        beyond, noise = margin(measure)
        effect = percentile_effect(
            measure, PERCENTILES[measure], old, new, margin=beyond, confidence=confidence, seed=seed
        )
        effects.append(Judged(effect, 1.0, noise, WITHIN_NOISE))
    if row["loop"] == "closed" and all(run.row["n"] for run in (*old, *new)):
        beyond, noise = margin("rows_per_s")
        effect = rate_effect(old, new, margin=beyond, confidence=confidence, seed=seed)
        effects.append(Judged(effect, 1.0, noise, WITHIN_NOISE))
    if all(len(run.samples) for run in (*old, *new)):
        failed = failed_effect(old, new, confidence=confidence, seed=seed)
        effects += [Judged(failed, 1.0, None, WITHIN_NOISE)] if failed else []
    if not effects:
        return dataclasses.replace(blank, reasons=("too few samples",))
    notes += _row_notes(old, new, threshold) + slower_words(pace, threshold)
    return dataclasses.replace(
        blank, verdict=WITHIN_NOISE, effects=tuple(effects), notes=tuple(notes)
    )


def _measurable(asked: str, runs: Sequence[Run], confidence: float) -> str | None:
    """The percentile asked for, or the next lower one that all runs have samples enough for."""
    fewest = min(run.row["n"] for run in runs)
    for measure, q in reversed(PERCENTILES.items()):
        if q <= PERCENTILES[asked] and fewest >= minimum_samples(q, confidence=confidence):
            return measure
    return None


def _noise(measure: str, key: str, noises: Sequence[Mapping[str, Any] | None]) -> float | None:
    """The largest ratio that repeats, or earlier runs, give for no change at all."""
    ratios = []
    for noise in noises:
        if noise is None:
            continue
        own, pooled = noise["by_key"].get(key, {}).get(measure), noise["pooled"][measure]
        ratios += [own["max_over_min"]] if own else []
        ratios += [pooled["two_runs"]] if pooled else []
    return max(ratios, default=None)


def _row_notes(a: Sequence[Run], b: Sequence[Run], threshold: float) -> list[str]:
    notes = []
    rates = [runs[-1].row["offered_qps"] for runs in (a, b)]
    if all(rates) and not 1 / (1 + threshold) <= rates[1] / rates[0] <= 1 + threshold:
        notes.append(f"offered load {rates[0]:.4g}/s → {rates[1]:.4g}/s")
    for name, runs in (("A", a), ("B", b)):
        if any(run.row.get("stationary") is False for run in runs):
            notes.append(f"{name} was not stationary")
    return notes
