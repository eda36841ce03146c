"""Of a run of LoadGen: its result, and the percentiles that it prints, which have no interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.mlperf.case import OFFLINE
from dualtower_benchmarks.scenario.figures import HIGHER, SHARE, Figure, PartRow, figure
from dualtower_benchmarks.scenario.subject import what

__all__ = ["mlperf_figures"]

_PERCENTILES = ("p50_ms", "p90_ms", "p99_ms")


def mlperf_figures(found: Mapping[str, Any]) -> list[PartRow]:
    """A row a run; one that is not valid is void, with its reasons."""
    runs = [_row(row["scenario"], row, _figures(row)) for row in found["rows"]]
    accuracy = [_row("accuracy", row, _accuracy(row)) for row in found.get("accuracy", [])]
    return [*runs, *accuracy]


def _row(name: str, row: Mapping[str, Any], figures: list[Figure]) -> PartRow:
    words = f"LoadGen {name}: {what(row)}, batch {row['batch_rows']}"
    void = None if row["valid"] else "INVALID, " + "; ".join(row["reasons"])
    return PartRow(row["key"], words, row, figures, void)


def _figures(row: Mapping[str, Any]) -> list[Figure]:
    name, n = row["result_name"], row["queries"]
    found: list[Figure] = []
    if name not in _PERCENTILES:
        samples = n * row["samples_a_query"]
        found += figure(name, "/s", row["result"], better=HIGHER, n=samples)
    if row["scenario"] != OFFLINE:  # where all samples are due at once, the last one waits for all
        for level in _PERCENTILES:
            found += figure(level, "ms", row[level], n=n)
    return found


def _accuracy(row: Mapping[str, Any]) -> list[Figure]:
    lowest = row["cosine_min"]
    return figure("cosine_min", "cosine", lowest, better=HIGHER, n=row["samples"], least=SHARE)
