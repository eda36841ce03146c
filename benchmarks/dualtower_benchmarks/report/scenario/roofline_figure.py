"""The roofline as a panel of a report: roofs as lines, models as points, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.svg import (
    INK,
    MARKERS,
    MUTED,
    SERIES,
    Panel,
    cut,
    draw,
    log_ticks,
)
from dualtower_benchmarks.roofline.peaks import best_of
from dualtower_benchmarks.roofline.points import roof_gflops
from dualtower_benchmarks.schema.labels import DRIVER_NAMES

__all__ = ["roofline_panel"]

Row = Mapping[str, Any]
_MARGIN = 3.0  # times beyond the outermost point, on a logarithmic axis
_TWO_COLUMNS = 22  # characters of a name that leave room for another beside it
_LABEL_CHARS = 44
_PRECISIONS = ("float32", "bfloat16")


def roofline_panel(document: Mapping[str, Any], *, name: str = "roofline") -> Panel | None:
    """All points that were counted and measured; None where there are none, or no peaks.

    Args:
        name: unique on the page.
        document: of `dualtower bench roofline`, or results of a run that it added its keys to.
    """
    peaks = document.get("roofline")
    rows = _fastest(document["points"])[: 2 * len(SERIES)]
    if not peaks or not rows:
        return None
    roofs = {
        precision: best
        for precision in _PRECISIONS
        if (best := best_of(peaks, precision=precision)) is not None
    }
    if "float32" not in roofs:
        return None
    names = [_name(row) for row in rows]
    columns = 2 if max(map(len, names)) <= _TWO_COLUMNS else 1
    lines = len(rows) + len(roofs)
    more = len(_fastest(document["points"])) - len(rows)

    def paint(axes: Axes) -> None:
        log_ticks(axes, "x", "y")
        for axis in (axes.xaxis, axes.yaxis):  # over more decades than 1, 2 and 5 have room for
            axis.set_major_locator(LogLocator(subs=(1.0,)))
        ends = _span(rows, roofs)
        for precision, (peak, bandwidth) in roofs.items():
            ridge = peak / bandwidth
            places = [ends[0], min(max(ridge, ends[0]), ends[1]), ends[1]]
            axes.plot(
                places,
                [roof_gflops(peak, bandwidth, place) for place in places],
                color=INK if precision == "float32" else MUTED,
                ls="-" if precision == "float32" else "--",
                lw=1.4,
                label=f"roof {precision}",
            )
        for position, (what, row) in enumerate(zip(names, rows, strict=True)):
            slot = position % len(SERIES)
            axes.plot(
                [row["intensity"]],
                [row["achieved_gflops"]],
                color=SERIES[slot],
                marker=MARKERS[slot],
                fillstyle="full" if position < len(SERIES) else "none",
                ls="",
                label=cut(what, _LABEL_CHARS),
            )
        axes.set_xlabel("FLOP by byte")
        axes.set_ylabel("GFLOP/s")
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=columns)

    peak, bandwidth = roofs["float32"]
    turns = count(peaks["turns"])
    alt = "; ".join(
        f"{what}: {number(row['achieved_gflops'])} GFLOP/s at {number(row['intensity'])} FLOP by "
        f"byte, roof {number(row['roof_gflops'])}"
        for what, row in zip(names, rows, strict=True)
    )
    return draw(
        name,
        paint,
        title="Under the machine's roof",
        alt=(f"Roof: {number(peak)} GFLOP/s in float32, {number(bandwidth)} GB/s of memory. {alt}"),
        caption=(
            f"Roof: min(peak, intensity × bandwidth), medians of n{NBSP}={NBSP}{turns} turns: "
            f"{number(peak)}{NBSP}GFLOP/s in float32, {number(bandwidth)}{NBSP}GB/s. Points: the "
            f"fastest load of each model and batch{f', {more} more in the table' if more else ''}; "
            "bytes as if nothing stayed in a cache between "
            f"two ops, so a point may stand above the slope. Offered load: {_load(rows)}. "
            f"{hardware(document)}."
        ),
        height_in=3.6 + 0.27 * -(-lines // columns),
    )


def _fastest(points: Sequence[Row]) -> list[Row]:
    """Of each driver, model, precision and batch."""
    best: dict[tuple[Any, ...], Row] = {}
    for row in points:
        if row.get("intensity") and row.get("achieved_gflops") and row.get("roof_gflops"):
            key = (row.get("driver"), row["model"], row["precision"], row["batch_rows"])
            if key not in best or row["achieved_gflops"] > best[key]["achieved_gflops"]:
                best[key] = row
    return list(best.values())


def _load(rows: Sequence[Row]) -> str:
    """What was asked of the points, and how many requests answered it."""
    clients = [row["concurrency"] for row in rows if row.get("loop") == "closed"]
    rates = [row["offered_qps"] for row in rows if row.get("loop") == "open"]
    found = [f"{_span_words(clients)} clients in closed loops"] if clients else []
    found += [f"{_span_words(rates)} requests a second"] if rates else []
    counts = [row["n"] for row in rows if row.get("n")]
    said = ", ".join(found) or "one caller in a closed loop"
    if not counts:
        return said
    return f"{said}, n{NBSP}={NBSP}{count(min(counts))} to {count(max(counts))} requests a point"


def _span_words(values: Sequence[float]) -> str:
    low, high = (f"{value:.3g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _name(row: Row) -> str:
    driver = DRIVER_NAMES.get(row.get("driver", ""), "")
    return f"{driver} {row['model'].replace('_', ' ')}, {row['batch_rows']}".strip()


def _span(rows: Sequence[Row], roofs: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    places = [row["intensity"] for row in rows]
    ridges = [peak / bandwidth for peak, bandwidth in roofs.values()]
    return min(places) / _MARGIN, max(*places, *ridges) * _MARGIN
