"""How far repeats of the same point lie apart: the noise below which a difference says nothing.

As ratios, per point (`key`) and pooled over all. `max_over_min` is what was seen. `typical` is e to
the standard deviation of the logarithm by Shamos (1976): 1.048 times the median distance of two
repeats, which one outlier does not move and which needs no centre. `two_runs` is what two single
runs differ by in 95 of 100 cases at that deviation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["MEASURES", "noise_between", "noise_of", "valid_runs"]

MEASURES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "p99_99_ms", "rows_per_s")
_SHAMOS = 1.0483  # 1 / (√2 · 0.67449), so that it is the standard deviation of a normal sample
_TWO_RUNS = 1.95996 * math.sqrt(2.0)


def noise_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The noise of a run; None where no point was measured twice.

    Returns:
        `by_key`: key → measure → {`max_over_min`, `typical`, `n`}; `pooled`: measure →
        {`max_over_min`, `typical`, `two_runs`, `pairs`, `keys`}. A measure is None where fewer than
        two repeats have it; rows_per_s of an open loop is its schedule's, and None.
    """
    by_key: dict[str, dict[str, Any]] = {}
    distances: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    for key, runs in valid_runs(rows).items():
        if len(runs) < 2:
            continue
        by_key[key] = {}
        for measure in MEASURES:
            apart = _apart([value for row in runs if (value := _value(row, measure))])
            distances[measure] += apart
            by_key[key][measure] = _spread(apart)
    if not by_key:
        return None
    pooled = {
        measure: _pooled(distances[measure], [found[measure] for found in by_key.values()])
        for measure in MEASURES
    }
    return {"by_key": by_key, "pooled": pooled}


def valid_runs(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by key that are not void, one a repeat: the last attempt of each."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        if row["void"] is None:
            found.setdefault(row["key"], {})[row["repeat"]] = row
    return {key: list(runs.values()) for key, runs in found.items()}


def noise_between(values: Sequence[float]) -> float | None:
    """How far two runs without a change lie apart: the largest distance that was seen, or what 95
    of 100 pairs stay within, whichever is more. None of fewer than two.

    Args:
        values: of a figure, run by run; their logarithms where ratios are asked for.
    """
    apart = [abs(a - b) for a, b in itertools.combinations(values, 2)]
    if not apart:
        return None
    return max(*apart, _TWO_RUNS * _SHAMOS * float(np.median(apart)))


def _value(row: Mapping[str, Any], measure: str) -> float | None:
    if measure == "rows_per_s":
        return float(row[measure]) if row["loop"] == "closed" else None
    return row[measure]["value"] if row[measure] else None


def _apart(values: Sequence[float]) -> list[float]:
    """Distances of the logarithms of all pairs."""
    return [abs(math.log(a / b)) for a, b in itertools.combinations(values, 2)]


def _spread(apart: Sequence[float]) -> dict[str, Any] | None:
    if not apart:
        return None
    return {
        "max_over_min": math.exp(max(apart)),
        "typical": math.exp(_SHAMOS * float(np.median(apart))),
        "n": round((1 + math.sqrt(1 + 8 * len(apart))) / 2),
    }


def _pooled(
    apart: Sequence[float], spreads: Iterable[Mapping[str, Any] | None]
) -> dict[str, Any] | None:
    if not apart:
        return None
    deviation = _SHAMOS * float(np.median(apart))
    return {
        "max_over_min": math.exp(max(apart)),
        "typical": math.exp(deviation),
        "two_runs": math.exp(_TWO_RUNS * deviation),
        "pairs": len(apart),
        "keys": sum(spread is not None for spread in spreads),
    }
