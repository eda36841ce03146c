"""The files for a phone: latencies that `dualtower bench` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, milliseconds
from dualtower_benchmarks.points import PERCENTILES
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.svg import (
    MARKERS,
    SERIES,
    Panel,
    draw,
    log_ticks,
    plain_ticks,
    short_label,
)

__all__ = ["edge_latency_panels"]

Row = Mapping[str, Any]
_LINEAR_SPAN = 20.0  # a wider range of latencies is drawn on a logarithmic axis


def edge_latency_panels(bench: Mapping[str, Any]) -> list[Panel]:
    """A panel per tower: p50, p90 and p99 of every variant and number of threads."""
    rows = [row for row in _edge(bench) if row["p50_ms"]]
    towers = dict.fromkeys(row["model"] for row in rows)
    return [
        _latency_panel(tower, [row for row in rows if row["model"] == tower], bench)
        for tower in towers
    ]


def _latency_panel(tower: str, rows: Sequence[Row], bench: Mapping[str, Any]) -> Panel:
    order = list(reversed(rows))
    threads = sorted({row["threads"] for row in rows})
    shown = [row[name]["value"] for row in rows for name in PERCENTILES if row[name]]
    shortest, longest = min(shown), max(shown)

    def paint(axes: Axes) -> None:
        for y, row in enumerate(order):
            position = threads.index(row["threads"]) % len(SERIES)
            colour = SERIES[position]
            ends = [row[name]["value"] for name in PERCENTILES if row[name]]
            axes.plot([ends[0], ends[-1]], [y, y], color=colour, lw=1.4)
            axes.plot([ends[0]], [y], color=colour, marker=MARKERS[position])
            axes.plot(ends[1:], [y] * (len(ends) - 1), color=colour, marker="|", ls="")
        for position, number_of in enumerate(threads):
            slot = position % len(SERIES)
            axes.plot(
                [],
                [],
                color=SERIES[slot],
                marker=MARKERS[slot],
                label=f"{number_of} thread{'s' if number_of > 1 else ''}",
            )
        axes.set_yticks(range(len(order)), [short_label(row["variant"]) for row in order])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel("latency, ms")
        if longest > _LINEAR_SPAN * shortest:
            log_ticks(axes, "x")
        else:
            axes.set_xlim(left=0)
            plain_ticks(axes, "x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=len(threads))

    alt = "; ".join(
        f"{row['variant']} with {row['threads']} threads: "
        f"p50 {milliseconds(row['p50_ms'])} ms, "
        f"p99 {milliseconds(row['p99_ms'])} ms"
        for row in rows
    )
    counts = [row["n"] for row in rows]
    return draw(
        f"edge-{tower}",
        paint,
        title=f"{tower}: latency",
        alt=f"{tower}: {alt}",
        caption=(
            "Marker: p50; ticks: p90 and p99, where the samples suffice. Batch 1, closed loop, "
            f"n{NBSP}={NBSP}{count(min(counts))} to {count(max(counts))} calls. {hardware(bench)}."
        ),
        height_in=1.7 + 0.4 * len(order),
    )


def _edge(bench: Mapping[str, Any]) -> list[Row]:
    return [row for row in bench["points"] if row["part"] == "edge"]
