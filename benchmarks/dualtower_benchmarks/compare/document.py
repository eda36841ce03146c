"""A comparison as JSON, for a script that decides by it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from dualtower_benchmarks.compare.side import Side
from dualtower_benchmarks.compare.verdicts import (
    BETTER,
    NOISE_NOT_KNOWN,
    NOT_COMPARABLE,
    WITHIN_NOISE,
    WORSE,
    Comparison,
    Entry,
    JudgedFigure,
    Point,
)
from dualtower_benchmarks.scenario.figures import Figure
from dualtower_benchmarks.schema import Results

__all__ = ["SCHEMA", "comparison_document"]

SCHEMA = 1


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Every point with its effects, every entry of a part with its figures.

    `change`, `low`, `high` and `noise` are ratios B over A, unless `by` says difference.
    """
    baseline_noise = comparison.baselines.noise
    return {
        "schema": SCHEMA,
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "baselines": [{"path": str(one.path), **_run(one)} for one in comparison.baselines.results],
        "baseline_noise": baseline_noise["pooled"] if baseline_noise else None,
        "threshold": comparison.threshold,
        "confidence": comparison.confidence,
        "correction": "Holm over all effects of all points",
        "tests": comparison.tests,
        "verdicts": {
            name: len(comparison.of(name))
            for name in (WORSE, BETTER, WITHIN_NOISE, NOISE_NOT_KNOWN, NOT_COMPARABLE)
        },
        "machine_differences": [one.as_json() for one in comparison.machine],
        "software_differences": [one.as_json() for one in comparison.software],
        "warnings": list(comparison.warnings),
        "points": [_point(point) for point in comparison.points],
        "entries": [_entry(entry) for entry in comparison.entries],
        "only_a": [*(row["key"] for row in comparison.only_a), *comparison.only_parts_a],
        "only_b": [*(row["key"] for row in comparison.only_b), *comparison.only_parts_b],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "path": str(side.results.path),
        **_run(side.results),
        "noise": side.noise["pooled"] if side.noise else None,
    }


def _run(results: Results) -> dict[str, Any]:
    document = results.document
    return {
        "scenario": results.name,
        "created": document["created"],
        "bundle": document["bundle"],
        "git_commit": document["machine"]["git_commit"],
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "key": point.key,
        "verdict": point.verdict,
        "reasons": list(point.reasons),
        "notes": list(point.notes),
        "effects": [
            {
                **dataclasses.asdict(one.effect),
                "p_holm": one.p,
                "noise": one.noise,
                "verdict": one.verdict,
            }
            for one in point.effects
        ],
        **{name: point.row[name] for name in _FIELDS},
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "part": entry.part,
        "key": entry.key,
        "what": entry.words,
        "verdict": entry.verdict,
        "reasons": list(entry.reasons),
        "notes": list(entry.notes),
        "figures": [_figure(one) for one in entry.figures],
    }


def _figure(one: JudgedFigure) -> dict[str, Any]:
    return {
        "figure": one.a.name,
        "unit": one.a.unit,
        "better": one.a.better,
        "a": _between(one.a),
        "b": _between(one.b),
        "by": "ratio" if one.a.least is None else "difference",
        "change": one.change,
        "low": one.low,
        "high": _finite(one.high),
        "margin": one.margin,
        "noise": one.noise,
        "verdict": one.verdict,
    }


def _between(figure: Figure) -> dict[str, Any]:
    return {
        "value": figure.value,
        "low": figure.low,
        "high": _finite(figure.high),
        "n": figure.n,
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None


_FIELDS = (
    "driver", "model", "variant", "precision", "device", "device_found", "threads", "xla",
    "batch_rows", "tokens", "engine", "batching", "flags", "loop", "concurrency", "offered_qps",
)  # fmt: skip
