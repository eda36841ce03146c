"""Latency over the time of a load, with the part that was left out as warm-up shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.svg import (
    GRID,
    MARKERS,
    MUTED,
    SERIES,
    Panel,
    draw,
    log_ticks,
    plain_ticks,
)
from dualtower_benchmarks.schema.labels import load_words
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["timeline_panels"]

_FEW = 300  # requests of a load; fewer leave slots without a median
_LINEAR_SPAN = 8.0  # a wider range of latencies is drawn on a logarithmic axis


def timeline_panels(run: Run, *, most: int) -> list[Panel]:
    """A panel a case, open loops first, until there are `most`."""
    drawn = [case for case in (*run.of("open"), *run.of("closed")) if _rows(run, case)]
    return [_panel(run, case, place) for place, case in enumerate(drawn[:most])]


def _rows(run: Run, case: Measured) -> list[Mapping[str, Any]]:
    """Those with something to draw; of a case that is void throughout its void ones."""
    return [
        row
        for row in case.rows or case.void
        if any(_shown(row)) or (_is_slow(row) and len(run.kept(row).latency_ns))
    ]


def _is_slow(row: Mapping[str, Any]) -> bool:
    """Whether the requests are so few that a slot seldom has a median: each is drawn itself."""
    return bool(row["n"] < _FEW)


def _shown(row: Mapping[str, Any]) -> list[float]:
    slots = row.get("timeline") or []
    return [slot[name] for slot in slots for name in ("p50_ms", "p99_ms") if slot[name]]


def _panel(run: Run, case: Measured, place: int) -> Panel:
    rows = _rows(run, case)
    left_out_s = [row["warmup_left_out_s"] for row in rows]
    shown = [value for row in rows for value in _shown(row)]
    shown += [
        float(value) / 1e6
        for row in rows if _is_slow(row)
        for value in run.whole(row).latency_ns
    ]  # fmt: skip
    label, load = run.labels(case), load_words(case, case.offered_qps)

    def paint(axes: Axes) -> None:
        for number_of, row in enumerate(rows):
            _paint(axes, row["timeline"], number_of % len(SERIES))
            if _is_slow(row):
                _paint_requests(axes, run, row, SERIES[number_of % len(SERIES)])
        axes.axvspan(0.0, max(left_out_s), color=GRID, lw=0, alpha=0.8, zorder=0)
        axes.set_xlim(left=0.0)
        axes.set_xlabel("seconds since the load began")
        axes.set_ylabel("latency, ms")
        axes.locator_params(axis="x", nbins=6)
        plain_ticks(axes, "x")
        if max(shown) > _LINEAR_SPAN * min(shown):
            log_ticks(axes, "y")
        else:
            axes.set_ylim(bottom=0)
        if max(left_out_s):
            axes.annotate(
                "warm-up", (0.0, 0.0), xycoords="axes fraction", textcoords="offset points",
                xytext=(3, 4), color=MUTED, fontsize=10.0,
            )  # fmt: skip

    return draw(
        f"timeline-{run.mark}-{place}",
        paint,
        title=f"{label}, batch {case['batch_rows']}",
        alt=(
            f"{label}, batch {case['batch_rows']}, {load}, {len(rows)} repeats over time: slots "
            f"from {number(min(shown))} to {number(max(shown))} ms, the first "
            f"{number(max(left_out_s))} s left out"
        ),
        caption=" ".join(filter(None, _caption(run, case, rows, left_out_s))),
        height_in=3.0,
    )


def _paint(axes: Axes, slots: Sequence[Mapping[str, Any]], place: int) -> None:
    """p50 as a line with gaps, p99 as marks, and what failed or was skipped along the top."""
    colour = SERIES[place]
    width_s = slots[1]["t_s"] - slots[0]["t_s"] if len(slots) > 1 else 0.0
    middle_s = [slot["t_s"] + width_s / 2 for slot in slots]
    p50, p99 = (
        [np.nan if slot[name] is None else slot[name] for slot in slots]
        for name in ("p50_ms", "p99_ms")
    )
    axes.plot(middle_s, p50, color=colour, lw=1.5, marker=".", markersize=2.5)
    axes.plot(middle_s, p99, color=colour, ls="", marker=MARKERS[place], markersize=3.5)
    lost = [
        middle
        for middle, slot in zip(middle_s, slots, strict=True)
        if slot["errors"] + slot["skipped"]
    ]
    axes.plot(
        lost, [0.97] * len(lost), transform=axes.get_xaxis_transform(), color=colour, marker="x",
        markersize=4.5, ls="",
    )  # fmt: skip


def _paint_requests(axes: Axes, run: Run, row: Mapping[str, Any], colour: str) -> None:
    """Every request; in a file that has those after the warm-up alone, those."""
    whole = run.whole(row)
    begin_s = row["warmup_left_out_s"] if whole.warmup is None else 0.0
    due_s = whole.due_ns[whole.answered] / 1e9 + begin_s
    axes.plot(due_s, whole.latency_ns / 1e6, color=colour, ls="", marker=".", markersize=3.0)


def _caption(
    run: Run, case: Measured, rows: Sequence[Mapping[str, Any]], left_out_s: Sequence[float]
) -> list[str]:
    low, high = number(min(left_out_s)), number(max(left_out_s))
    span = high if low == high else f"{low} to {high}"
    each = f", a colour a repeat ({len(rows)})" if len(rows) > 1 else ""
    marks = ["dots: requests"] if any(map(_is_slow, rows)) else []
    marks += ["marks: p99"] if any(s["p99_ms"] for row in rows for s in row["timeline"]) else []
    lost = any(s["errors"] + s["skipped"] for row in rows for s in row["timeline"])
    marks += ["× above: failed or skipped"] if lost else []
    moved = sum(row.get("stationary") is False for row in rows)
    return [
        "Void throughout." if not case.rows else "",
        f"Load: {load_words(case, case.offered_qps)}.",
        f"Line: p50 of a slot{each}{''.join(f'; {mark}' for mark in marks)}.",
        f"Shaded: {span} s left out.",
        f"The level was not kept in {moved} of {len(rows)}." if moved else "",
        f"n{NBSP}={NBSP}{' + '.join(count(row['n']) for row in rows)}.",
        f"{run.hardware}.",
    ]
