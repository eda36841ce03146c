"""Searches for a limit as tables, and what `bench tune` tried."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.limit.table import (
    contradiction_words,
    remarks,
    slo_words,
    why_words,
)
from dualtower_benchmarks.numerals import DASH, count, number
from dualtower_benchmarks.report.scenario.loadgen import by_key
from dualtower_benchmarks.report.scenario.loadgen import subject_words as _subject
from dualtower_benchmarks.report.tables import Cell, Table

__all__ = ["by_key", "limit_words", "limits_table", "probes_table", "subject_words", "tune_table"]

Row = Mapping[str, Any]


def subject_words(row: Row) -> str:
    """What was loaded: "gRPC item_tower, batching off"."""
    parts = [_subject(row)]
    if row["batching"] != "bundle":
        parts.append(f"batching {row['batching'].rpartition('/')[2]}")
    parts += [row["flags"]] if row["flags"] else []
    return ", ".join(parts)


def limit_words(rows: Sequence[Row]) -> str:
    """The limit of a case over its repeats: "212 requests a second, 205 to 219 in 3 repeats"."""
    limits = [row["limit_qps"] for row in rows if row["limit_qps"] is not None]
    if len(limits) < len(rows):
        return (
            "no rate held" if not limits else f"no rate held in {len(rows) - len(limits)} repeats"
        )
    middle = number(statistics.median_low(limits))
    if len(limits) == 1:
        end = _end(rows[0])
        return f"{middle} requests a second" + (f", {number(end)} did not hold" if end else "")
    span = f"{number(min(limits))} to {number(max(limits))} in {len(limits)} repeats"
    return f"{middle} requests a second, {span}"


def limits_table(found: Mapping[str, Any], where: str) -> Table | None:
    """A row a case: its limit with the interval or the spread of the repeats, and what ended it.

    None where nothing was searched and nothing is absent.
    """
    cases = by_key(found["rows"])
    if not cases and not found["absent"]:
        return None
    return Table(
        f"Highest rate that held its SLO; {where}",
        ("what", "rows", "SLO", "limit, requests/s", "ended by", "confirmed", "probes", "requests"),
        [_cells(rows) for rows in cases],
        prose=frozenset({"what", "SLO", "ended by"}),
        marked=frozenset(
            place for place, rows in enumerate(cases)
            if any(not row["confirmed"] or not row["complete"] for row in rows)
        ),
        notes=[
            *(
                f"{subject_words(rows[0])}: {words}."
                for rows in cases
                if (words := contradiction_words(rows))
            ),
            *(
                f"{subject_words(row)}, repeat {row['repeat']}: {said}."
                for rows in cases
                for row in rows
                for said in remarks(row)
            ),
            *(f"{_subject(case)}: {case['reason']}." for case in found["absent"]),
        ],
    )  # fmt: skip


def probes_table(rows: Sequence[Row], where: str) -> Table:
    """All probes of a case, in the order of measuring."""
    row = rows[0]
    return Table(
        f"Probes: {subject_words(row)}, batch {row['batch_rows']}, {slo_words(row)}; {where}",
        ("repeat", "offered/s", "verdict", "why", "answered/s", "p50, ms",
         f"p{100 * row['slo_percentile']:g}, ms", "failed", "skipped", "lag p99, ms", "requests"),
        [
            (
                str(one["repeat"]),
                number(probe["offered_qps"]),
                probe["verdict"] + (" (confirming)" if probe["purpose"] == "confirm" else ""),
                ", ".join(probe["reasons"]) or DASH,
                number(probe["achieved_qps"]),
                _interval(probe["p50_ms"]),
                _interval(probe["level_ms"]),
                count(sum(probe["errors"].values())),
                count(probe["skipped"]),
                number(probe["lag_p99_ms"]),
                count(probe["n"]),
            )
            for one in rows
            for probe in one["probes"]
        ],
        prose=frozenset({"verdict", "why"}),
    )  # fmt: skip


def tune_table(found: Mapping[str, Any], where: str) -> Table:
    """Settings of a server in the order of their last round: the picked one is marked."""
    candidates = sorted(found["candidates"], key=lambda one: (-one["round"], one["place"]))
    return Table(
        f"Settings of a server under {slo_words(found['slo'])}; {where}",
        ("setting", "rounds", "limits, requests/s"),
        [
            (
                one["name"],
                str(one["round"] + 1),
                ", ".join(number(limit) for limit in one["limits_qps"]) or DASH,
            )
            for one in candidates
        ],
        prose=frozenset({"setting"}),
        marked=frozenset(
            place for place, one in enumerate(candidates) if one["name"] == found["picked"]
        ),
        notes=[found["verdict"]],
    )


def _cells(rows: Sequence[Row]) -> tuple[str | Cell, ...]:
    row = rows[0]
    limits = [one["limit_qps"] for one in rows if one["limit_qps"] is not None]
    whole = len(limits) == len(rows)
    end = _end(row) if len(rows) == 1 else max(limits, default=None)
    span = f"{number(min(limits))}–{number(end)}" if limits else ""
    return (
        subject_words(row),
        str(row["batch_rows"]),
        slo_words(row),
        Cell(number(statistics.median_low(limits)), span) if whole else DASH,
        ", ".join(dict.fromkeys(why_words(one) for one in rows)),
        f"{sum(one['confirmed'] for one in rows)} of {len(rows)}",
        count(sum(len(one["probes"]) for one in rows)),
        count(sum(probe["n"] for one in rows for probe in one["probes"])),
    )


def _end(row: Row) -> float | None:
    return min(
        (end for end in (row["broke_qps"], row["void_qps"]) if end is not None), default=None
    )


def _interval(found: Mapping[str, float] | None) -> str | Cell:
    if found is None:
        return DASH
    return Cell(number(found["value"]), f"{number(found['low'])}–{number(found['high'])}")
