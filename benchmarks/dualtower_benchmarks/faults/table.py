"""The result of `bench faults` as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table
from dualtower_benchmarks.machine import cpu_words
from dualtower_benchmarks.numerals import DASH, count, milliseconds, number

__all__ = ["fault_tables"]

_HEADER = (
    "fault", "client", "calls", "answered", "wrong", "failed by name", "unnamed", "hung",
    "past deadline ms", "p50 ms", "p99 ms", "leaked",
)  # fmt: skip
_FIGURES = {
    "calls_added_share": "calls added",
    "first_replica_share": "share of the first replica",
    "p99_over_healthy": "p99 over the healthy one",
}


def fault_tables(document: Mapping[str, Any]) -> list[Table]:
    """A line for each fault and kind of client; figures of single faults; complaints."""
    machine, rows = document["machine"], document["rows"]
    title = (
        f"faults: {cpu_words(machine)}, {machine['usable_cores']} cores; load before "
        f"{machine['load_average_1_min_before']:.2f}; a hang is more than "
        f"{document['settings']['hang_ms']:g} ms past the deadline"
    )
    tables = [Table(title, [_cells(row) for row in rows], _HEADER)]
    figures = [
        [f"{row['fault']}, {row['client']}", _FIGURES[name], number(value)]
        for row in rows
        for name, value in row["figures"].items()
    ]
    if figures:
        tables.append(Table("replicas", figures, ("fault, client", "figure", "value")))
    complaints = [[complaint] for complaint in document["complaints"]]
    return [*tables, Table("complaints", complaints or [["none"]])]


def _cells(row: Mapping[str, Any]) -> list[str]:
    late_ms = row["longest_past_deadline_ms"]
    return [
        row["fault"],
        row["client"],
        count(row["calls"]),
        count(row["answered"]),
        count(row["wrong"]),
        _counts(row["failed"]) or DASH,
        _counts(row["unnamed"]) or "0",
        count(row["hung"]),
        DASH if late_ms is None else f"{late_ms:.1f}",
        milliseconds(row["p50_ms"]),
        milliseconds(row["p99_ms"]),
        _counts(row["leaked"]) or "0",
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count(times)}" for name, times in counts.items() if times)
