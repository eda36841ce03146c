"""How much a figure moves when nothing changes: each repeat against the median of its case."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.series import (
    client_words,
    count_words,
    legend_below,
    rate_words,
    row_words,
)
from dualtower_benchmarks.report.svg import (
    GRID,
    INK,
    MARKERS,
    SERIES,
    Panel,
    cut,
    draw,
    plain_ticks,
)
from dualtower_benchmarks.schema.labels import load_words
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["noise_panels", "noise_words", "two_runs"]

_ROWS = 14  # of a panel
_LABEL_CHARS = 60
_SHOWN = {"closed": ("p50_ms", "rows_per_s"), "open": ("p50_ms", "p99_ms")}
_NAMES = {"p50_ms": "p50", "p99_ms": "p99", "rows_per_s": "rows/s"}


def noise_words(run: Run) -> str:
    """What two single runs of the same differ by, pooled over the cases; "" where not known."""
    pooled = (run.document.get("noise") or {}).get("pooled") or {}
    parts = [
        f"{name} by {number(100 * (found['two_runs'] - 1))}{NBSP}% ({found['pairs']} pairs of "
        "repeats)"
        for measure, name in (("p50_ms", "p50"), ("p99_ms", "p99"), ("rows_per_s", "rows a second"))
        if (found := pooled.get(measure))
    ]
    return f"In 95 of 100 cases two runs of the same differ in {', '.join(parts)}." if parts else ""


def two_runs(run: Run, measure: str) -> float | None:
    """The ratio that two single runs of the same stay within; None where it is not known."""
    pooled = (run.document.get("noise") or {}).get("pooled") or {}
    found = pooled.get(measure)
    return float(found["two_runs"]) if found else None


def noise_panels(run: Run) -> list[Panel]:
    """Cases with at least two repeats."""
    repeated = [case for case in run.cases if len(case.rows) > 1]
    return [
        _panel(run, repeated[part : part + _ROWS], part) for part in range(0, len(repeated), _ROWS)
    ]


def _panel(run: Run, cases: Sequence[Measured], part: int) -> Panel:
    order = list(reversed(cases))
    shown = list(dict.fromkeys(name for case in cases for name in _SHOWN[case["loop"]]))
    height_in = 2.15 + 0.5 * len(order)

    def paint(axes: Axes) -> None:
        axes.axvline(0.0, color=GRID, lw=1.4)
        for y, case in enumerate(order):
            for name in _SHOWN[case["loop"]]:
                place = shown.index(name)
                parts = [100 * one for one in _spread(case, name)]
                axes.plot(
                    parts, [y - 0.12 * place] * len(parts), color=SERIES[place],
                    marker=MARKERS[place], markersize=5, markerfacecolor="none", ls="",
                )  # fmt: skip
            axes.annotate(
                _label(run, case),
                (0.0, y), xycoords=("axes fraction", "data"), textcoords="offset points",
                xytext=(2, 7), color=INK, fontsize=10.0,
            )  # fmt: skip
        for place, name in enumerate(shown):
            axes.plot(
                [], [], color=SERIES[place], marker=MARKERS[place], markerfacecolor="none", ls="",
                label=_NAMES[name],
            )  # fmt: skip
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.6, len(order) - 0.2)
        axes.set_xlabel("difference to the median of the repeats, %")
        plain_ticks(axes, "x")
        legend_below(axes, [_NAMES[name] for name in shown], height_in=height_in)

    words = "; ".join(
        f"{run.labels(case)} {_load(case)}: "
        + ", ".join(
            f"{_NAMES[name]} {number(100 * min(parts))} to {number(100 * max(parts))} %"
            for name in _SHOWN[case["loop"]]
            if (parts := _spread(case, name))
        )
        for case in cases
    )
    offered = [case for case in cases if case.is_open]
    closed = [case for case in cases if not case.is_open]
    loads = [rate_words(offered)] if offered else []
    loads += [f"{client_words(closed)} in closed loops"] if closed else []
    return draw(
        f"noise-{run.mark}-{part}",
        paint,
        title="The same, measured again",
        alt=f"Differences of repeats to their median: {words}",
        caption=(
            f"A mark a repeat ({run.repeats}). Offered load: {', '.join(loads)}. "
            f"{count_words(cases)}. {run.hardware}."
        ),
        height_in=height_in,
    )


def _label(run: Run, case: Measured) -> str:
    """The subject is cut, its load is not."""
    load = f"{row_words(case)}, {_load(case)}"
    return f"{cut(run.labels(case), max(12, _LABEL_CHARS - len(load)))}, {load}"


def _spread(case: Measured, name: str) -> list[float]:
    """Each repeat's relative difference to their median; empty for a single repeat."""
    values = case.values(name)
    if len(values) < 2:
        return []
    middle = statistics.median(values)
    return [value / middle - 1.0 for value in values]


def _load(case: Measured) -> str:
    return load_words(case, case.offered_qps)
