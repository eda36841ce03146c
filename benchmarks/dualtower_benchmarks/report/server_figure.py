"""Latency against throughput of a server: closed loops trace the capacity, open loops the wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, milliseconds, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.svg import INK, MARKERS, SERIES, Panel, draw, log_ticks

__all__ = ["server_panels"]

Row = Mapping[str, Any]


def server_panels(bench: Mapping[str, Any]) -> list[Panel]:
    """A panel per model that was measured."""
    rows = [row for row in bench["points"] if row["part"] == "server" and row["p50_ms"]]
    models = dict.fromkeys(row["model"] for row in rows)
    return [
        _panel(model, [row for row in rows if row["model"] == model], bench) for model in models
    ]


def _panel(model: str, rows: Sequence[Row], bench: Mapping[str, Any]) -> Panel:
    batches = list(dict.fromkeys(row["batch_rows"] for row in rows))

    def paint(axes: Axes) -> None:
        for batch, colour, marker in zip(batches, SERIES * 4, MARKERS * 4, strict=False):
            of_batch = [row for row in rows if row["batch_rows"] == batch]
            _paint_closed(axes, [r for r in of_batch if r["loop"] == "closed"], colour, marker)
            _paint_open(axes, [r for r in of_batch if r["loop"] == "open"], colour, marker)
            axes.plot([], [], color=colour, marker=marker, label=f"batch {batch}")
        axes.plot([], [], color=INK, marker="o", markerfacecolor="none", ls="", label="open loop")
        axes.set_xlabel("rows per second")
        axes.set_ylabel("latency, ms")
        axes.margins(0.12)
        log_ticks(axes, "x", "y")
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.42, -0.2),
            ncols=3,
            columnspacing=1.2,
            handlelength=1.5,
        )

    fewest, most = min(row["n"] for row in rows), max(row["n"] for row in rows)
    return draw(
        f"server-{model}",
        paint,
        title=model,
        alt=f"{model}: " + "; ".join(_words(row) for row in rows),
        caption=(
            "Filled: closed loop, p50, the number of clients beside it. Hollow: open loop, Poisson "
            "arrivals, from the scheduled time. Thin line up: p99, where the samples suffice. "
            f"n{NBSP}={NBSP}{count(fewest)} to {count(most)} requests a point. {hardware(bench)}."
        ),
        height_in=4.4,
    )


def _paint_closed(axes: Axes, rows: Sequence[Row], colour: str, marker: str) -> None:
    x = [row["rows_per_s"] for row in rows]
    y = [row["p50_ms"]["value"] for row in rows]
    axes.plot(x, y, color=colour, marker=marker)
    _paint_p99(axes, rows, colour)
    for row, left, low in zip(rows, x, y, strict=True):
        axes.annotate(
            str(row["concurrency"]),
            (left, low),
            textcoords="offset points",
            xytext=(6, -13),
            color=INK,
            fontsize=10.5,
        )


def _paint_open(axes: Axes, rows: Sequence[Row], colour: str, marker: str) -> None:
    _paint_p99(axes, rows, colour)
    axes.plot(
        [row["rows_per_s"] for row in rows],
        [row["p50_ms"]["value"] for row in rows],
        color=colour,
        marker=marker,
        markersize=8,
        markerfacecolor="none",
        markeredgewidth=1.6,
        ls="",
    )


def _paint_p99(axes: Axes, rows: Sequence[Row], colour: str) -> None:
    for row in rows:
        if row["p99_ms"]:
            x, low, high = row["rows_per_s"], row["p50_ms"]["value"], row["p99_ms"]["value"]
            axes.plot([x, x], [low, high], color=colour, lw=1.0)
            axes.plot([x], [high], color=colour, marker="_", markersize=9)


def _words(row: Row) -> str:
    load = (
        f"{row['concurrency']} closed-loop clients"
        if row["loop"] == "closed"
        else f"open loop at {number(row['offered_qps'])} requests a second"
    )
    return (
        f"batch {row['batch_rows']}, {load}: {number(row['rows_per_s'])} rows a second, "
        f"p50 {milliseconds(row['p50_ms'])} ms"
    )
