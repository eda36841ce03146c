"""Percentiles of MLPerf LoadGen's runs: a panel a scenario, what it drove side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.mlperf.case import MULTI_STREAM, SERVER, SINGLE_STREAM
from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.loadgen import by_key, middle, subject_words
from dualtower_benchmarks.report.scenario.ranges_figure import paint_ranges, range_height_in
from dualtower_benchmarks.report.svg import Panel, draw
from dualtower_benchmarks.schema.labels import asked

__all__ = ["loadgen_panels"]

Row = Mapping[str, Any]
_NAMES = ("p50_ms", "p90_ms", "p99_ms")
_LOAD = {
    SINGLE_STREAM: "the next query when the last was answered",
    MULTI_STREAM: "the next query when all samples of the last were answered",
    SERVER: "Poisson arrivals at the rate beside each name, latency from the scheduled instant",
}


def loadgen_panels(found: Mapping[str, Any], where: str, *, name: str) -> list[Panel]:
    """Scenarios with a latency: all but Offline, which sends everything at once.

    Args:
        where: the hardware.
        name: unique on the page; it begins the names of the panels.
    """
    panels = []
    for scenario in _LOAD:
        of_scenario = [row for row in found["rows"] if row["scenario"] == scenario]
        cases = [rows for rows in by_key(of_scenario) if middle(rows, "p50_ms") is not None]
        if cases:
            panels.append(_panel(scenario, cases, where, f"{name}-{scenario.lower()}"))
    return panels


def _panel(scenario: str, cases: Sequence[Sequence[Row]], where: str, name: str) -> Panel:
    labels = [_label(scenario, rows, cases) for rows in cases]

    def paint(axes: Axes) -> None:
        paint_ranges(
            axes,
            [
                (label, [middle(rows, one) for one in _NAMES])
                for label, rows in zip(labels, cases, strict=True)
            ],
        )

    words = "; ".join(
        f"{label} p50 {number(middle(rows, 'p50_ms'))} ms, p99 {number(middle(rows, 'p99_ms'))} ms"
        for label, rows in zip(labels, cases, strict=True)
    )
    counts = [sum(row["queries"] for row in rows) for rows in cases]
    low, high = count(min(counts)), count(max(counts))
    repeats = max(len(rows) for rows in cases)
    return draw(
        name,
        paint,
        title=f"LoadGen {scenario}",
        alt=f"Latency of a query in LoadGen's {scenario}: {words}",
        caption=(
            "Dot and number: p50; ticks: p90 and p99, where the queries suffice; an asterisk: no "
            f"valid run. Offered load: {_LOAD[scenario]}"
            f"{f'; medians of {repeats} repeats' if repeats > 1 else ''}. "
            f"n{NBSP}={NBSP}{low if low == high else f'{low} to {high}'} queries a row. {where}."
        ),
        height_in=range_height_in(len(cases)),
    )


def _label(scenario: str, rows: Sequence[Row], cases: Sequence[Sequence[Row]]) -> str:
    row = rows[0]
    parts = [subject_words(row)]
    if len({one[0]["batch_rows"] for one in cases}) > 1:
        parts.append(f"batch {row['batch_rows']}")
    if scenario == SERVER:
        parts.append(f"{asked(middle(rows, 'offered_qps'))}/s")
    invalid = "" if any(one["valid"] for one in rows) else "*"
    return ", ".join(parts) + invalid
