"""Compares two results files point by point, and what else they hold entry by entry.

A, B ─► points of equal keys ─► comparable? ─► effects ─► Holm ─► a verdict each
     └► entries of parts ─► comparable? ─► figures ─► a verdict each
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from dualtower.errors import UsageError
from dualtower_benchmarks.compare.alike import machine_differences, software_differences
from dualtower_benchmarks.compare.baselines import NO_BASELINES, Baselines
from dualtower_benchmarks.compare.entries import entry_of
from dualtower_benchmarks.compare.holm import holm
from dualtower_benchmarks.compare.part_rows import PartRows, part_rows
from dualtower_benchmarks.compare.points import point_of
from dualtower_benchmarks.compare.side import Side
from dualtower_benchmarks.compare.verdicts import (
    BETTER,
    NOISE_NOT_KNOWN,
    WITHIN_NOISE,
    WORSE,
    Comparison,
    Entry,
    Judged,
    Point,
)
from dualtower_benchmarks.pace.summary import slower

__all__ = ["compare"]

_BUSY = 0.5  # of the usable cores, before the run
_MORE = "run the scenario with repeats = 3, or give earlier runs with --baseline"


def compare(
    a: Side,
    b: Side,
    *,
    percentiles: Sequence[str] = ("p99_ms",),
    threshold: float = 0.05,
    across: Collection[str] = (),
    baselines: Baselines = NO_BASELINES,
) -> Comparison:
    """Compares B with A.

    Args:
        percentiles: names of `PERCENTILES`; where a side has too few samples for one, the next
            lower one that both have stands in.
        threshold: a share of change that is of no interest.
        across: what may differ all the same, of `alike.ACROSS`.
        baselines: earlier runs of the same thing as A, for the noise between runs.

    Raises:
        UsageError: the two have no point and no entry of a part in common.
    """
    keys = [key for key in a.rows if key in b.rows]
    parts = [part_rows(side.results) for side in (a, b)]
    entry_keys = [key for key in parts[0] if key in parts[1]]
    if not keys and not entry_keys:
        raise UsageError(
            f"{a.results.path} and {b.results.path} have no point in common; compare two runs of "
            "one scenario with the same settings"
        )
    machines = [side.document["machine"] for side in (a, b)]
    machine = machine_differences(*machines)
    everywhere = []
    if machine and "machine" not in across:
        everywhere.append("other machine: " + "; ".join(map(str, machine)))
    fingerprints = [(side.document["bundle"] or {}).get("fingerprint", "none") for side in (a, b)]
    of_bundle = list(everywhere)
    if fingerprints[0] != fingerprints[1] and "bundle" not in across:
        of_bundle.append(f"other bundle: {fingerprints[0][:12]} → {fingerprints[1][:12]}")
    settings = b.document["scenario"]["settings"]
    confidence = settings["confidence"]
    noises = (a.noise, b.noise, baselines.noise)
    how = (of_bundle, across, percentiles, threshold, confidence, settings["seed"], noises)
    points = [point_of(key, a, b, *how) for key in keys]
    earlier = [part_rows(results) for results in baselines.results]
    entries = []
    for key in entry_keys:
        old, new = (found[key] for found in parts)
        unlike = of_bundle if old.needs_bundle else everywhere
        pace = slower(a.document, b.document, str(old.last.row["key"]))
        entries.append(entry_of(key, old, new, unlike, across, threshold, earlier, pace))
    return Comparison(
        a=a,
        b=b,
        threshold=threshold,
        confidence=confidence,
        machine=tuple(machine),
        software=tuple(software_differences(*machines)),
        warnings=tuple(_warnings(a, b, baselines, points, entries)),
        baselines=baselines,
        points=tuple(_judged(points, 1.0 - confidence)),
        only_a=tuple(row for key, row in a.rows.items() if key not in b.rows),
        only_b=tuple(row for key, row in b.rows.items() if key not in a.rows),
        entries=tuple(entries),
        only_parts_a=_only(*parts),
        only_parts_b=_only(*reversed(parts)),
    )


def _only(own: Mapping[str, PartRows], other: Mapping[str, PartRows]) -> dict[str, str]:
    return {key: one.last.words for key, one in own.items() if key not in other}


def _judged(points: Sequence[Point], level: float) -> list[Point]:
    """The points with verdicts, all effects held against `level` together."""
    effects = [one.effect for point in points for one in point.effects]
    adjusted = iter(holm([min(1.0, 2 * min(one.p_more, one.p_less)) for one in effects]))
    done = []
    for point in points:
        judged = tuple(_verdict(one, next(adjusted), level) for one in point.effects)
        found = {one.verdict for one in judged}
        verdict = next((v for v in (WORSE, BETTER, WITHIN_NOISE) if v in found), point.verdict)
        done.append(dataclasses.replace(point, effects=judged, verdict=verdict))
    return done


def _verdict(one: Judged, p: float, level: float) -> Judged:
    verdict = WITHIN_NOISE
    if p <= level:
        more = one.effect.p_more < one.effect.p_less
        verdict = BETTER if more == (one.effect.measure == "rows_per_s") else WORSE
    return dataclasses.replace(one, p=p, verdict=verdict)


def _warnings(
    a: Side, b: Side, baselines: Baselines, points: Sequence[Point], entries: Sequence[Entry]
) -> list[str]:
    warnings = list(baselines.left_out)
    if points and a.noise is None and b.noise is None and baselines.noise is None:
        warnings.append(
            "noise is not known: no point was measured twice, so the threshold alone decides; "
            f"{_MORE}"
        )
    figures = [one for entry in entries for one in entry.figures]
    if unknown := sum(one.verdict == NOISE_NOT_KNOWN for one in figures):
        warnings.append(
            f"noise is not known of {unknown} of {len(figures)} figures that changed: they were "
            f"measured once and have no interval, so nothing is said of them; {_MORE}"
        )
    elif figures and all(one.noise is None for one in figures):
        warnings.append(
            "noise is not known: no part was measured twice, so intervals and the threshold alone "
            f"decide; {_MORE}"
        )
    for name, side in (("A", a), ("B", b)):
        machine = side.document["machine"]
        load, cores = machine["load_average_1_min_before"], machine["usable_cores"] or 1
        if load > _BUSY * cores:
            warnings.append(f"{name}: the machine was busy before the run (load {load:.1f})")
    return warnings
