"""Figures of life events over their time: a swap, a lost replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.svg import (
    GRID,
    INK,
    MUTED,
    SERIES,
    Panel,
    draw,
    log_ticks,
    plain_ticks,
)

__all__ = ["change_panel", "paint_bands", "replica_panel", "subject_words"]

_LINEAR_SPAN = 8.0  # a wider range of latencies is drawn on a logarithmic axis
_HEADROOM = 0.25  # above the latencies, for words and what was lost


def change_panel(name: str, row: Mapping[str, Any], where: str) -> Panel:
    """Latency over the time of swaps, each shaded from where the server noticed it to its end."""
    found = row["swap"]
    marks = [
        (
            one["published_s"] + (one["until_noticed_s"] or 0.0),
            one["published_s"] + (one["until_ended_s"] or one["until_noticed_s"] or 0.0),
            f"{one['from']}→{one['to']}",
        )
        for one in found["changes"]
    ]
    lost = sum(found["whole"]["failed"].values()) + found["whole"]["skipped"]
    return _panel(
        name,
        row,
        marks,
        title=f"Version swaps: {subject_words(row)}",
        said=(
            f"Shaded: from the notice of a change to its end ({len(marks)}). "
            f"Failed or skipped: {count(lost)}"
        ),
        where=where,
    )


def replica_panel(name: str, row: Mapping[str, Any], where: str) -> Panel:
    """Latency over the time of a lost replica, from its kill to its first answer."""
    found = row["replica_lost"]
    begin_s = found["killed_s"]
    until_s = found["until_takes_load_s"]
    end_s = begin_s + (until_s if until_s is not None else found["until_ready_s"])
    lost = sum(found["whole"]["failed"].values()) + found["whole"]["skipped"]
    return _panel(
        name,
        row,
        [(begin_s, end_s, "one replica")],
        title=f"One of two replicas lost: {subject_words(row)}",
        said=(
            f"Shaded: from the kill to the replica's first answer. Failed or skipped: {count(lost)}"
        ),
        where=where,
    )


def subject_words(row: Mapping[str, Any]) -> str:
    """Model and batch."""
    return f"{row['model']}, batch {row['batch_rows']}"


def paint_bands(axes: Axes, bands: Mapping[str, Sequence[Any]], *, slot: float) -> None:
    """p50 as a line in the band from it to p90, the slowest of a slot as dots, lost ones above."""
    x = np.array(bands["t_s"], dtype=np.float64) + slot / 2
    p50, p90, slowest = (
        np.array([np.nan if v is None else v for v in bands[key]], dtype=np.float64)
        for key in ("p50_ms", "p90_ms", "slowest_ms")
    )
    colour = SERIES[0]
    both = ~np.isnan(p50) & ~np.isnan(p90)
    axes.fill_between(x, p50, p90, where=both, color=colour, alpha=0.3, lw=0)
    axes.plot(x, p50, color=colour, lw=1.5, marker=".", markersize=2.5)
    axes.plot(x, slowest, color=SERIES[1], ls="", marker="s", markersize=2.5)
    lost = [
        at for at, failed, skipped in zip(x, bands["failed"], bands["skipped"], strict=True)
        if failed + skipped
    ]  # fmt: skip
    axes.plot(
        lost, [0.93] * len(lost), transform=axes.get_xaxis_transform(), color=SERIES[1],
        marker="x", markersize=5.0, ls="",
    )  # fmt: skip
    there = slowest[~np.isnan(slowest)]
    low, high = np.nanmin([*there, *p50, np.inf]), np.nanmax([*there, 0.0])
    if high > _LINEAR_SPAN * low:
        axes.set_ylim(low / 1.3, high * (high / low) ** _HEADROOM)
        log_ticks(axes, "y")
    else:
        axes.set_ylim(0, max(high * (1 + _HEADROOM), 1e-3))
    axes.set_ylabel("latency, ms")


def _panel(
    name: str,
    row: Mapping[str, Any],
    marks: Sequence[tuple[float, float, str]],
    *,
    title: str,
    said: str,
    where: str,
) -> Panel:
    found = row[row["kind"]]
    parts = {key: found[key] for key in ("before", "during", "after")}

    def paint(axes: Axes) -> None:
        paint_bands(axes, found["bands"], slot=1.0)
        if row["slo_p99_ms"] < axes.get_ylim()[1]:
            axes.axhline(row["slo_p99_ms"], color=INK, lw=0.8, ls="--")
        for begin_s, end_s, word in marks:
            axes.axvspan(begin_s, max(end_s, begin_s + 0.05), color=GRID, lw=0, zorder=0)
            axes.axvline(begin_s, color=MUTED, lw=0.8, zorder=0.5)
            axes.annotate(
                word, (begin_s, 1.0), xycoords=("data", "axes fraction"),
                textcoords="offset points", xytext=(3, -11), color=MUTED, fontsize=10.0,
            )  # fmt: skip
        axes.set_xlim(left=0.0)
        axes.set_xlabel("seconds since the load began")
        axes.locator_params(axis="x", nbins=6)
        plain_ticks(axes, "x")

    levels = "; ".join(
        f"{key} p50 {_ms(part['p50_ms'])}, p99 {_ms(part['p99_ms'])}, slowest "
        f"{number(part['slowest_ms'])} ms, n {count(part['n'])}"
        for key, part in parts.items()
    )
    return draw(
        name,
        paint,
        title=title,
        alt=f"{title}: {levels}. {said}",
        caption=(
            f"{'Void: ' + row['void'] + '. ' if row['void'] else ''}Open loop, "
            f"{number(row['offered_qps'])} requests a second offered. By second: line p50, band "
            f"to p90, squares the slowest; dashed, where it is within reach, the SLO of "
            f"{row['slo_p99_ms']:g} ms. {said}. "
            f"n{NBSP}={NBSP}{' + '.join(count(part['n']) for part in parts.values())}. {where}."
        ),
    )


def _ms(level: Mapping[str, float] | None) -> str:
    return f"{number(level['value'] if level else None)} ms"
