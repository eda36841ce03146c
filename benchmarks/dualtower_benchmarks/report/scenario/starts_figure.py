"""Figures of starts: a cold start in its steps, and the first requests after a load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, milliseconds, number
from dualtower_benchmarks.report.scenario.events_figure import subject_words
from dualtower_benchmarks.report.svg import (
    INK,
    MARKERS,
    SERIES,
    Panel,
    draw,
    log_ticks,
    plain_ticks,
)

__all__ = ["cold_start_panel", "first_request_panel"]

_STEPS = (
    ("process_s", "process runs"),
    ("port_s", "port open"),
    ("available_s", "AVAILABLE"),
    ("answer_s", "first answer"),
)
_LINEAR_SPAN = 6.0


def cold_start_panel(name: str, row: Mapping[str, Any], where: str) -> Panel:
    """A bar a start, parted by its steps."""
    found = row["cold_start"]
    starts = found["starts"]

    def paint(axes: Axes) -> None:
        for place, one in enumerate(starts):
            begin_s = 0.0
            for (key, word), colour in zip(_STEPS, SERIES, strict=True):
                axes.barh(
                    place, one[key] - begin_s, left=begin_s, color=colour, height=0.6,
                    label=word if place == 0 else None,
                )  # fmt: skip
                begin_s = one[key]
            axes.annotate(
                f"{number(begin_s)} s", (begin_s, place), textcoords="offset points",
                xytext=(4, 0), va="center", color=INK, fontsize=10.5,
            )  # fmt: skip
        axes.set_yticks(range(len(starts)), [f"start {n + 1}" for n in range(len(starts))])
        axes.invert_yaxis()
        axes.set_xlabel("seconds since the start")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.18)
        axes.set_xlim(left=0.0)
        axes.locator_params(axis="x", nbins=5)
        plain_ticks(axes, "x")
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.4, -0.6 / (height_in - 1.1)), ncols=2,
            columnspacing=1.2, handlelength=1.0,
        )  # fmt: skip

    height_in = 2.6 + 0.34 * len(starts)
    median = found["median"]
    words = ", ".join(f"{word} {number(median[key])} s" for key, word in _STEPS)
    return draw(
        name,
        paint,
        title=f"Cold start: {subject_words(row)}",
        alt=f"Cold start of {len(starts)}, medians: {words}",
        caption=(
            f"Medians since the start: {words}. Page cache: {found['page_cache']}. No load. "
            f"Starts: n{NBSP}={NBSP}{len(starts)}, {row['engine']}. {where}."
        ),
        height_in=height_in,
    )


def first_request_panel(name: str, row: Mapping[str, Any], where: str) -> Panel:
    """The first requests by their place, with the warm-up file and without."""
    variants = row["first_request"]["variants"]
    every = [ms for one in variants for first in one["first_ms"] for ms in first]

    def paint(axes: Axes) -> None:
        for one, colour, marker in zip(variants, SERIES, MARKERS, strict=False):
            word = f"{'with' if one['warmup_file'] else 'without'} warm-up file"
            places = range(1, len(one["median_ms"]) + 1)
            for first in one["first_ms"]:
                axes.plot(places, first, color=colour, ls="", marker=".", markersize=3.5)
            axes.plot(places, one["median_ms"], color=colour, marker=marker, lw=1.5, label=word)
            if one["steady_p50_ms"]:
                axes.axhline(one["steady_p50_ms"]["value"], color=colour, lw=1.0, ls="--")
        if max(every) > _LINEAR_SPAN * min(every):
            log_ticks(axes, "y")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("request after the load")
        axes.set_ylabel("latency, ms")
        axes.locator_params(axis="x", integer=True, nbins=8)
        plain_ticks(axes, "x")
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.45, -0.62 / 2.7), ncols=1, handlelength=1.6
        )

    words = "; ".join(
        f"{'with' if one['warmup_file'] else 'without'} warm-up file the first "
        f"{number(one['median_ms'][0])} ms, then p50 {milliseconds(one['steady_p50_ms'])} ms"
        for one in variants
    )
    rounds = len(variants[0]["first_ms"])
    steady = " and ".join(count(one["steady_n"]) for one in variants)
    return draw(
        name,
        paint,
        title=f"First requests after a load: {subject_words(row)}",
        alt=f"First requests: {words}",
        caption=(
            "One client, one request after the other. Line: median of the servers, dots: each of "
            f"them; dashed: p50 of the {steady} requests after them. "
            f"n{NBSP}={NBSP}{rounds} of each kind, in turns. {where}."
        ),
        height_in=3.8,
    )
