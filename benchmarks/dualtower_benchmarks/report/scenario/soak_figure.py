"""A soak: the server's memory over its time, and the latency by minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.events_figure import paint_bands, subject_words
from dualtower_benchmarks.report.svg import GRID, MARKERS, SERIES, Panel, draw, plain_ticks

__all__ = ["growth_words", "soak_panels"]

_PSS_MARKS = 15


def soak_panels(name: str, row: Mapping[str, Any], where: str) -> list[Panel]:
    """Memory, and latency."""
    return [_memory(f"{name}-memory", row, where), _latency(f"{name}-latency", row, where)]


def growth_words(found: Mapping[str, Any] | None, what: str, unit: str) -> str:
    """The verdict on a slope, with what it rests on."""
    if found is None:
        return f"{what} has too few values for a slope"
    grows = "grows" if found["grows"] else "is not said to grow"
    return (
        f"{what} {grows}: {found['value']:+.3g} {unit} over {number(found['span_s'] / 60)} min "
        f"({found['low']:+.3g} to {found['high']:+.3g}; floor {number(found['floor'])} {unit})"
    )


def _memory(name: str, row: Mapping[str, Any], where: str) -> Panel:
    found = row["soak"]
    memory, pss = found["memory"], found["pss"]
    said = growth_words(found["memory_growth"], "Memory", "MB")

    def paint(axes: Axes) -> None:
        axes.plot([t / 60 for t in memory["t_s"]], memory["rss_mb"], color=SERIES[0], lw=1.5,
                  label="RSS")  # fmt: skip
        if pss["t_s"]:
            axes.plot([t / 60 for t in pss["t_s"]], pss["pss_mb"], color=SERIES[1], lw=0,
                      marker=MARKERS[1], markersize=4.0, label="PSS",
                      markevery=max(1, len(pss["t_s"]) // _PSS_MARKS))  # fmt: skip
        axes.axvspan(0.0, max(0.0, memory["warm_from_s"]) / 60, color=GRID, lw=0, zorder=0)
        axes.set_xlim(left=0.0)
        axes.set_ylim(0, 1.15 * max([*memory["rss_mb"], 1.0]))
        axes.set_xlabel("minutes since the load began")
        axes.set_ylabel("megabytes")
        axes.locator_params(axis="x", nbins=6)
        plain_ticks(axes, "x", "y")
        axes.legend(loc="lower right", ncols=2)

    return draw(
        name,
        paint,
        title=f"Memory of the server in a soak: {subject_words(row)}",
        alt=f"{said}; from {number(min(memory['rss_mb'], default=None))} to "
        f"{number(max(memory['rss_mb'], default=None))} MB",
        caption=(
            f"{said}. Slope by Theil and Sen after the warm-up (shaded). {_load(row)} "
            f"n{NBSP}={NBSP}{count(len(memory['t_s']))} readings. {where}."
        ),
    )


def _latency(name: str, row: Mapping[str, Any], where: str) -> Panel:
    found = row["soak"]
    said = growth_words(found["p99_growth"], "The p99", "ms")
    minutes = found["minutes"]
    scaled = {**minutes, "t_s": [t / 60 for t in minutes["t_s"]]}

    def paint(axes: Axes) -> None:
        paint_bands(axes, scaled, slot=found["slot_s"] / 60)
        axes.set_xlim(left=0.0)
        axes.set_xlabel("minutes since the warm-up")
        axes.locator_params(axis="x", nbins=6)
        plain_ticks(axes, "x")

    return draw(
        name,
        paint,
        title=f"Latency in a soak: {subject_words(row)}",
        alt=f"{said}; slots of {number(found['slot_s'])} s",
        caption=(
            f"{'Void: ' + row['void'] + '. ' if row['void'] else ''}{_load(row)} Slots of "
            f"{number(found['slot_s'])} s: line p50, band to p90, squares the slowest. {said}. "
            f"n{NBSP}={NBSP}{count(found['whole']['n'])}. {where}."
        ),
    )


def _load(row: Mapping[str, Any]) -> str:
    return f"Open loop, {number(row['offered_qps'])} requests a second offered."
