"""The section of life events: a figure for each, and its figures in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.events.table import failures_words
from dualtower_benchmarks.numerals import DASH, bounds, count, milliseconds, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.events_figure import (
    change_panel,
    replica_panel,
    subject_words,
)
from dualtower_benchmarks.report.scenario.goodput_figure import goodput_panel
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.scenario.others import Other, tables_of
from dualtower_benchmarks.report.scenario.soak_figure import soak_panels
from dualtower_benchmarks.report.scenario.starts_figure import (
    cold_start_panel,
    first_request_panel,
)
from dualtower_benchmarks.report.section import Section
from dualtower_benchmarks.report.svg import Panel
from dualtower_benchmarks.report.tables import Cell, Table

__all__ = ["events_section", "is_ours"]

_LOADED = ("swap", "replica_lost", "soak")  # kinds whose parts have percentiles
_PARTS = ("before", "during", "after")


def events_section(inputs: Inputs) -> Section:
    """Everything that happened, in the order of measuring; void attempts are marked."""
    panels: list[Panel] = []
    tables: list[Table] = []
    for place, other in enumerate(inputs.of("events", "soak")):
        if not is_ours(other):
            tables += tables_of(other)
            continue
        where = hardware(other.document)
        rows = other.found["rows"]
        for number_of, row in enumerate(rows):
            panels += _panels(f"event-{place}-{number_of}", row, where)
        absent = other.found["absent"]
        tables += [
            table
            for table in (
                _parts_table(rows, where),
                _changes_table(rows, where),
                _steps_table(rows, where),
                _absent_table(absent),
            )
            if table is not None
        ]
    return Section(
        "events",
        "Life events",
        note=(
            "Latency counts from the instant a request was due. Where the generator lagged by more "
            "than 5 % of the SLO (under overload of the deadline), a part is void and has no "
            "percentiles."
        )
        if panels
        else "",
        panels=panels,
        folded=tables if panels else [],
        tables=[] if panels else tables,
        missing=""
        if panels or tables
        else "no swap, cold start, lost replica, overload or soak in these results "
        "(`dualtower bench events BUNDLE`)",
    )


def is_ours(other: Other) -> bool:
    """Whether it is of `dualtower bench events`, rather than another file of that name."""
    found = other.found
    rows = found.get("rows") if isinstance(found, Mapping) else None
    return bool(rows is not None and "absent" in found and all("raw_points" in r for r in rows))


def _panels(name: str, row: Mapping[str, Any], where: str) -> list[Panel]:
    kind = row["kind"]
    if kind == "soak":
        return soak_panels(name, row, where)
    drawn = {
        "swap": change_panel,
        "cold_start": cold_start_panel,
        "first_request": first_request_panel,
        "replica_lost": replica_panel,
        "overload": goodput_panel,
    }[kind]
    return [drawn(name, row, where)]


def _parts_table(rows: Sequence[Mapping[str, Any]], where: str) -> Table | None:
    lines: list[tuple[str | Cell, ...]] = []
    marked = []
    for row in rows:
        if row["kind"] not in _LOADED:
            continue
        found = row[row["kind"]]
        for name in ("whole",) if row["kind"] == "soak" else _PARTS:
            part = found[name]
            if part["void"] or row["void"]:
                marked.append(len(lines))
            lines.append(
                (
                    f"{row['kind'].replace('_', ' ')}, {subject_words(row)}",
                    name,
                    number(part["seconds"]),
                    number(row["offered_qps"]),
                    *(_level(part[key]) for key in ("p50_ms", "p90_ms", "p99_ms")),
                    number(part["slowest_ms"]),
                    count(part["n"]),
                    failures_words(part),
                    "void" if part["void"] or row["void"] else "",
                )
            )
    if not lines:
        return None
    return Table(
        f"Before, during and after; {where}",
        ("event", "part", "s", "offered/s", "p50, ms", "p90, ms", "p99, ms", "slowest, ms", "n",
         "failed", "verdict"),
        lines,
        prose=frozenset({"part", "failed", "verdict"}),
        marked=frozenset(marked),
        notes=[f"{row['kind'].replace('_', ' ')}: {row['void']}." for row in rows if row["void"]],
    )  # fmt: skip


def _changes_table(rows: Sequence[Mapping[str, Any]], where: str) -> Table | None:
    swaps = [row for row in rows if row["kind"] == "swap"]
    if not swaps:
        return None
    names = ("until_noticed_s", "until_available_s", "until_first_new_s", "until_last_old_s",
             "until_ended_s")  # fmt: skip
    return Table(
        f"Changes of version, seconds since the folders changed; {where}",
        ("change", "at, s", "noticed", "available", "first of the new", "last of the old",
         "old one gone"),
        [
            (
                f"{row['model']} {one['from']} → {one['to']}{' (back)' if one['is_back'] else ''}",
                number(one["published_s"]),
                *(number(one[name]) for name in names),
            )
            for row in swaps
            for one in row["swap"]["changes"]
        ],
        notes=[
            f"{row['model']}: answers by "
            + ", ".join(f"version {v}: {count(n)}" for v, n in row["swap"]["answers"].items())
            + "."
            for row in swaps
        ],
    )  # fmt: skip


def _steps_table(rows: Sequence[Mapping[str, Any]], where: str) -> Table | None:
    steps = [
        (row, step)
        for row in rows if row["kind"] == "overload"
        for step in row["overload"]["steps"]
    ]  # fmt: skip
    if not steps:
        return None
    return Table(
        f"Overload; {where}",
        ("of the capacity", "offered/s", "goodput/s", "p50, ms", "p99, ms", "good", "late",
         "rejected", "failed", "skipped"),
        [
            (
                f"{row['model']} × {step['share']:g}",
                number(step["offered_qps"]),
                number(step["goodput_qps"]),
                _level(step["p50_ms"]),
                _level(step["p99_ms"]),
                count(step["good"]),
                count(step["late"]),
                count(sum(step["rejected"].values())),
                count(sum(step["failed"].values())),
                count(step["skipped"]),
            )
            for row, step in steps
        ],
        marked=frozenset(n for n, (_, step) in enumerate(steps) if step["void"]),
        notes=[f"× {step['share']:g}: {step['void']}." for _, step in steps if step["void"]],
    )  # fmt: skip


def _absent_table(absent: Sequence[Mapping[str, Any]]) -> Table | None:
    if not absent:
        return None
    return Table(
        "Events that were not had",
        ("event", "reason"),
        [(one["kind"].replace("_", " "), one["reason"]) for one in absent],
        prose=frozenset({"reason"}),
    )


def _level(level: Mapping[str, float] | None) -> Cell | str:
    return DASH if level is None else Cell(milliseconds(level), bounds(level))
