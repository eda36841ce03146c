"""Recall over latency of the inverted file, beside exact search and faiss, from `bench topk`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import count
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.svg import (
    INK,
    MARKERS,
    SERIES,
    Panel,
    draw,
    log_ticks,
    plain_ticks,
)

__all__ = ["index_panels"]

_IVF = "ivf_"


def index_panels(topk: Mapping[str, Any]) -> list[Panel]:
    """A panel for each number of users in a call, at the fewest threads."""
    settings = topk["settings"]
    threads = min(settings["threads"])
    return [
        _panel(
            [p for p in topk["points"] if (p["batch"], p["threads"]) == (batch, threads)],
            topk,
            batch,
            threads,
        )
        for batch in settings["batches"]
    ]


def _panel(
    points: list[Mapping[str, Any]], topk: Mapping[str, Any], batch: int, threads: int
) -> Panel:
    sides = list(dict.fromkeys(point["side"] for point in points))
    settings = topk["settings"]

    def paint(axes: Axes) -> None:
        for place, side in enumerate(sides):
            own = [point for point in points if point["side"] == side]
            curve = [point for point in own if point["engine"].startswith(_IVF)]
            whole = [point for point in own if not point["engine"].startswith(_IVF)][:1]
            axes.plot(
                [point["wall_ms"] for point in curve],
                [point["recall"] for point in curve],
                color=SERIES[place],
                marker=MARKERS[place],
                label=f"{side}, inverted",
            )
            axes.plot(
                [point["wall_ms"] for point in whole],
                [point["recall"] for point in whole],
                color=SERIES[place],
                marker="X",
                markersize=9,
                ls="",
                label=f"{side}, exact",
            )
            for point in curve:
                axes.annotate(
                    point["engine"][len(_IVF) :],
                    (point["wall_ms"], point["recall"]),
                    textcoords="offset points",
                    xytext=(0, -15 if place else 7),
                    ha="center",
                    color=INK,
                    fontsize=9.5,
                )
        axes.set_xlabel("latency, ms")
        axes.set_ylabel(f"recall@{settings['k']}")
        lowest = min(point["recall"] for point in points)
        axes.set_ylim(max(0.0, lowest - 0.1), 1.05)
        plain_ticks(axes, "y")
        log_ticks(axes, "x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2)

    alt = "; ".join(
        f"{point['side']} {point['engine']}: {point['wall_ms']:.2f} ms, "
        f"recall {point['recall']:.3f}"
        for point in points
    )
    return draw(
        f"index-{batch}",
        paint,
        title=f"{count(settings['items'])} items: recall over latency, batch {batch}",
        alt=alt,
        caption=(
            f"Numbers are lists read of {count(settings['lists'])}; threads: {threads}; medians of "
            f"{settings['rounds']} rounds in turns, recall over {settings['users']} users. "
            f"{hardware(topk)}."
        ),
        height_in=4.2,
    )
