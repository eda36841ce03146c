"""Recall over latency, a panel for each catalogue; build time and memory over the number of items.

Curves are engines over their effort, crosses are exact. A filled mark lies on the Pareto front:
nothing in the panel is faster and finds as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.index.front import on_front
from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.label_places import Label, places_of
from dualtower_benchmarks.report.svg import (
    MARKERS,
    SERIES,
    Panel,
    draw,
    log_ticks,
)

__all__ = ["cost_panels", "recall_panels"]

Row = Mapping[str, Any]
_FAMILIES = ("recommender", "faiss", "usearch", "item_index")
_DASHES = ("-", "--", ":", "-.")
_HEIGHT_IN = 5.2
_LEAST_MISSES = 5e-4  # added to 1 − recall, so that an axis of its logarithm reaches 1
_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.0)
_AXES_PX = (275.0, 295.0)


@dataclass(frozen=True)
class _Style:
    colour: str
    marker: str
    dashes: str


def recall_panels(rows: Sequence[Row], mark: str, hardware: str) -> list[Panel]:
    """A panel for each catalogue, batch and number of threads.

    Args:
        rows: one a point.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["p50_ms"] is not None:
            key = (row["items"], row["dim"], row["k"], row["batch"], row["threads"])
            groups.setdefault(key, []).append(row)
    return [
        _recall_panel(of, f"index-{mark}-{'-'.join(map(str, key))}", hardware)
        for key, of in groups.items()
    ]


def cost_panels(rows: Sequence[Row], mark: str, hardware: str) -> list[Panel]:
    """Build time and memory over the items, where there are two catalogues or more."""
    if len({row["items"] for row in rows}) < 2:
        return []
    return [
        _cost_panel(rows, f"index-{mark}-build", hardware, "build_s", 1.0, "build, s",
                    "from the vectors to a whole file"),
        _cost_panel(rows, f"index-{mark}-memory", hardware, "pss_bytes", 1e6, "memory, MB",
                    "the process that searches, after its turns"),
    ]  # fmt: skip


def _recall_panel(rows: Sequence[Row], name: str, hardware: str) -> Panel:
    first = rows[0]
    front = on_front(rows)
    curves: dict[str, list[tuple[float, float, bool, int]]] = {}
    for place, row in enumerate(rows):
        point = (row["p50_ms"]["value"], row["recall"]["value"], place in front, row["effort"])
        curves.setdefault(row["engine"], []).append(point)
    styles = _styles(curves)

    def paint(axes: Axes) -> None:
        _by_misses(axes, min(point[1] for points in curves.values() for point in points))
        for engine, points in curves.items():
            style = styles[engine]
            x, y = [point[0] for point in points], [point[1] for point in points]
            axes.plot(x, y, color=style.colour, ls=style.dashes, lw=1.3)
            for one in points:
                axes.plot(
                    one[0], one[1], ls="", color=style.colour, marker=style.marker, markersize=6.5,
                    markerfacecolor=style.colour if one[2] else "none",
                )  # fmt: skip
        log_ticks(axes, "x")
        low, high = axes.get_xlim()
        axes.set_xlim(low / 1.5, high * 1.5)
        log_ticks(axes, "x")
        axes.set_xlabel("median latency of a call, ms")
        axes.set_ylabel(f"recall@{first['k']}")
        _label(axes, curves, styles)

    users = count(first["recall"]["users"])
    calls = [row["n"] for row in rows]
    alt = "; ".join(
        f"{ENGINES[row['engine']].words} effort {row['effort'] or 'none'}: "
        f"{number(row['p50_ms']['value'])} ms, recall {row['recall']['value']:.3f}"
        for row in rows
    )
    return draw(
        name,
        paint,
        title=f"{count(first['items'])} items of {first['dim']} numbers, batch {first['batch']}",
        alt=alt,
        caption=(
            "Filled: nothing here is faster and finds as much. Crosses are exact, along a curve "
            f"the effort rises. One caller, closed loop, threads: {first['threads']}; "
            f"{users} users, n{NBSP}={NBSP}{count(min(calls))} to {count(max(calls))} calls a "
            f"point. {hardware}."
        ),
        height_in=_HEIGHT_IN,
    )


def _by_misses(axes: Axes, lowest: float) -> None:
    """A recall axis on which .9, .99 and .999 stand equally far apart, and 1 at its end."""
    end = -np.log10(_LEAST_MISSES)
    axes.set_yscale(
        "function",
        functions=(
            lambda recall: -np.log10(np.maximum(1.0 - recall + _LEAST_MISSES, 1e-9)),
            lambda height: 1.0 + _LEAST_MISSES - 10.0 ** -np.asarray(height),
        ),
    )
    bottom = 0.85 * -np.log10(1.0 - min(lowest, 0.98))
    axes.set_ylim(1.0 - 10.0**-bottom, 1.0 + _LEAST_MISSES - 10.0 ** -(end * 1.12))
    low, _ = axes.get_ylim()
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick >= low]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _label(
    axes: Axes,
    curves: Mapping[str, Sequence[tuple[float, float, bool, int]]],
    styles: Mapping[str, _Style],
) -> None:
    """The engines' names beside their curves, where nothing else stands."""
    inverse = axes.transAxes.inverted()

    def pixels(x: float, y: float) -> tuple[float, float]:
        at = inverse.transform(axes.transData.transform((x, y)))
        return float(at[0] * _AXES_PX[0]), float(at[1] * _AXES_PX[1])

    labels = [
        Label(ENGINES[engine].words, [pixels(point[0], point[1]) for point in of])
        for engine, of in curves.items()
    ]
    for engine, label, place in zip(curves, labels, places_of(labels, _AXES_PX), strict=True):
        x, y = place
        axes.annotate(
            label.text,
            (x / _AXES_PX[0], y / _AXES_PX[1]),
            xycoords="axes fraction",
            va="center",
            ha="left",
            color=styles[engine].colour,
            fontsize=9.0,
        )


def _cost_panel(
    rows: Sequence[Row], name: str, hardware: str, field: str, unit: float, axis: str, what: str
) -> Panel:
    curves: dict[str, dict[int, float]] = {}
    for row in rows:
        if row[field] is not None:
            curves.setdefault(row["engine"], {})[row["items"]] = row[field] / unit
    styles = _styles(curves)

    def paint(axes: Axes) -> None:
        for engine, of in curves.items():
            style = styles[engine]
            axes.plot(
                list(of), list(of.values()), color=style.colour, ls=style.dashes, lw=1.3,
                marker=style.marker, markersize=5.5, label=ENGINES[engine].words,
            )  # fmt: skip
        log_ticks(axes, "x", "y")
        axes.set_xlabel("items")
        axes.set_ylabel(axis)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.42, -0.2), ncols=2, fontsize=9.5,
            handlelength=2.2, columnspacing=1.0,
        )  # fmt: skip

    alt = "; ".join(
        f"{ENGINES[engine].words}: "
        + ", ".join(f"{count(items)} items {number(value)}" for items, value in of.items())
        for engine, of in curves.items()
    )
    title = axis.partition(",")[0].capitalize()
    return draw(
        name,
        paint,
        title=f"{title} over items",
        alt=f"{axis}: {alt}",
        caption=f"{title}: {what}; one value a catalogue. {hardware}.",
        height_in=_HEIGHT_IN,
    )


def _styles(engines: Mapping[str, Any]) -> dict[str, _Style]:
    """A colour a family; within one, another mark and another line."""
    styles: dict[str, _Style] = {}
    seen: dict[tuple[str, bool], int] = {}
    for name in engines:
        engine = ENGINES[name]
        exact = engine.kind == "exact"
        place = seen.setdefault((engine.family, exact), 0)
        seen[engine.family, exact] += 1
        styles[name] = _Style(
            SERIES[_FAMILIES.index(engine.family)],
            "X" if exact else MARKERS[place % len(MARKERS)],
            _DASHES[(place + 2 * exact) % len(_DASHES)],
        )
    return styles
