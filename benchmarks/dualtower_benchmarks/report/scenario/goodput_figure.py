"""Goodput over the offered load, up to more than the server can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.events.table import verdict_words
from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.events_figure import subject_words
from dualtower_benchmarks.report.svg import (
    INK,
    MUTED,
    SERIES,
    Panel,
    draw,
    plain_ticks,
)

__all__ = ["goodput_panel"]


def goodput_panel(name: str, row: Mapping[str, Any], where: str) -> Panel:
    """Answers within the deadline by what was offered; the dotted line is all of it."""
    found = row["overload"]
    steps = found["steps"]
    valid = [step for step in steps if step["void"] is None]
    highest = max(step["offered_qps"] for step in steps)

    def paint(axes: Axes) -> None:
        axes.plot([0, highest], [0, highest], color=MUTED, lw=1.0, ls=":")
        if found["best_goodput_qps"]:
            floor = found["floor"] * found["best_goodput_qps"]
            axes.axhline(floor, color=INK, lw=1.0, ls="--")
            axes.annotate(
                f"{found['floor']:g} of the best", (0.0, floor),
                xycoords=("axes fraction", "data"), textcoords="offset points", xytext=(4, 4),
                color=INK, fontsize=10.5,
            )  # fmt: skip
        axes.plot(
            [step["offered_qps"] for step in valid], [step["goodput_qps"] for step in valid],
            color=SERIES[0], marker="o", lw=1.8,
        )  # fmt: skip
        void = [step["offered_qps"] for step in steps if step["void"] is not None]
        axes.plot(
            void, [0.03] * len(void), transform=axes.get_xaxis_transform(), color=SERIES[0],
            marker="x", markeredgewidth=1.8, ls="",
        )  # fmt: skip
        axes.axvline(row["capacity_qps"], color=MUTED, lw=0.8)
        axes.annotate(
            "closed loop", (row["capacity_qps"], 1.0), xycoords=("data", "axes fraction"),
            textcoords="offset points", xytext=(3, -11), color=MUTED, fontsize=10.0,
        )  # fmt: skip
        axes.set_xlim(0, 1.08 * highest)
        axes.set_ylim(0, 1.12 * highest)
        axes.set_xlabel("requests a second offered")
        axes.set_ylabel("goodput, answers a second")
        axes.locator_params(axis="x", nbins=5)
        plain_ticks(axes, "x", "y")

    back = found["recovery"]["until_good_s"]
    after = (
        f"not within the SLO in the {found['recovery']['seconds']:g} s after it"
        if back is None
        else f"within the SLO {number(back)} s after it"
    )
    verdict = verdict_words(found)
    void = f"{len(steps) - len(valid)} of {len(steps)} loads are void (×). "
    return draw(
        name,
        paint,
        title=f"Overload: {subject_words(row)}",
        alt=f"{verdict}; "
        + ", ".join(
            f"{number(step['offered_qps'])} offered gives "
            f"{number(step['goodput_qps']) + ' goodput' if step['void'] is None else 'void'}"
            for step in steps
        ),
        caption=(
            f"{verdict[0].upper()}{verdict[1:]}. Goodput: answers within {found['deadline_ms']:g} "
            f"ms of the due instant. {void if len(valid) < len(steps) else ''}At half the "
            f"capacity, p99 is {after}. n{NBSP}={NBSP}"
            f"{' + '.join(count(step['due']) for step in steps)} requests due. {where}."
        ),
    )
