"""How fast the machine itself was while it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.pace.summary import NAMES, change_of, pace_words
from dualtower_benchmarks.pace.work import KINDS
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.svg import GRID, MARKERS, SERIES, Panel, draw, plain_ticks

__all__ = ["pace_panels"]


def pace_panels(run: Run) -> list[Panel]:
    """Every take over the time of the run; nothing where there are fewer than two."""
    pace = run.document.get("pace")
    return [_panel(run, pace)] if pace and pace["n"] > 1 else []


def _panel(run: Run, pace: Mapping[str, Any]) -> Panel:
    takes = {row["at_s"]: row for row in pace["takes"]}
    begin_s = min(takes)

    def paint(axes: Axes) -> None:
        axes.axhline(1.0, color=GRID, lw=1.4)
        for place, kind in enumerate(KINDS):
            axes.plot(
                [(at_s - begin_s) / 60 for at_s in takes],
                [row[kind] / pace[kind]["median"] for row in takes.values()],
                color=SERIES[place], marker=MARKERS[place], markersize=4, lw=0.8,
                label=NAMES[kind],
            )  # fmt: skip
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.9), max(high, 1.1) + 0.1 * (max(high, 1.1) - min(low, 0.9)))
        axes.set_xlabel("minutes since the first case")
        axes.set_ylabel("times the median")
        axes.locator_params(axis="x", nbins=6)
        plain_ticks(axes, "x", "y")
        axes.legend(loc="upper right", ncols=2)

    said = pace_words(pace)
    medians = " and ".join(
        f"{number(pace[kind]['median'])}{NBSP}ms {NAMES[kind]}" for kind in KINDS
    )
    return draw(
        f"pace-{run.mark}",
        paint,
        title="The same work, timed between the cases",
        alt=said[0].upper() + said[1:],
        caption=(
            f"Above 1 the machine was slower than it mostly was; medians {medians}, on every core "
            f"at once and with no load offered. Medians of five in a row differ by up to "
            f"×{number(change_of(pace))}. n{NBSP}={NBSP}{count(pace['n'])}. {run.hardware}."
        ),
    )
