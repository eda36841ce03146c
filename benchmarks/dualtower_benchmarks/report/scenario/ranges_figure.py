"""Latency of one caller, subjects side by side: there is no load to draw it over."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.series import count_words
from dualtower_benchmarks.report.svg import INK, SERIES, Panel, cut, draw, log_ticks, plain_ticks
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["paint_ranges", "range_height_in", "range_panels"]

_ROWS = 14  # of a panel
_LINEAR_SPAN = 12.0  # a wider range of latencies is drawn on a logarithmic axis
_NAMES = ("p50_ms", "p90_ms", "p99_ms")


def range_panels(run: Run) -> list[Panel]:
    """Panels of one caller: each model and batch with at least two subjects."""
    panels: dict[tuple[str, int], list[Measured]] = {}
    for case in run.of("closed"):
        if case["concurrency"] == 1 and case.value("p50_ms") is not None:
            panels.setdefault((case["model"], case["batch_rows"]), []).append(case)
    return [
        _panel(run, f"{model}, batch {batch}", cases[part : part + _ROWS], (model, batch, part))
        for (model, batch), cases in panels.items()
        if len(cases) > 1
        for part in range(0, len(cases), _ROWS)
    ]


def range_height_in(rows: int) -> float:
    """Of a panel with so many rows."""
    return 1.4 + 0.46 * rows


def paint_ranges(axes: Axes, rows: Sequence[tuple[str, Sequence[float | None]]]) -> None:
    """A row a subject, from the top: a dot at its first percentile, ticks at the others.

    Args:
        rows: a label and rising percentiles in milliseconds; the first is there, None is not
            drawn.
    """
    shown = [value for _, ends in rows for value in ends if value is not None]
    for y, (label, percentiles) in enumerate(reversed(rows)):
        ends = [value for value in percentiles if value is not None]
        axes.plot([ends[0], ends[-1]], [y, y], color=SERIES[0], lw=1.4)
        axes.plot([ends[0]], [y], color=SERIES[0], marker="o")
        axes.plot(ends[1:], [y] * (len(ends) - 1), color=SERIES[0], marker="|", ls="")
        axes.annotate(
            f"{cut(label, 44)} {number(ends[0])} ms",
            (0.0, y), xycoords=("axes fraction", "data"), textcoords="offset points",
            xytext=(2, 7), color=INK, fontsize=10.5,
        )  # fmt: skip
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.6, len(rows) - 0.2)
    axes.set_xlabel("latency, ms")
    if max(shown) > _LINEAR_SPAN * min(shown):
        log_ticks(axes, "x")
    else:
        axes.set_xlim(left=0)
        plain_ticks(axes, "x")


def _panel(run: Run, title: str, cases: Sequence[Measured], place: tuple[str, int, int]) -> Panel:

    def paint(axes: Axes) -> None:
        paint_ranges(
            axes,
            [
                (run.labels(case, model=False), [case.value(name) for name in _NAMES])
                for case in cases
            ],
        )

    words = "; ".join(
        f"{run.labels(case, model=False)} p50 {number(case.value('p50_ms'))} ms, "
        f"p99 {number(case.value('p99_ms'))} ms"
        for case in cases
    )
    repeats = f", medians of {run.repeats} repeats" if run.repeats > 1 else ""
    model, batch, part = place
    return draw(
        f"ranges-{run.mark}-{model}-{batch}-{part}",
        paint,
        title=f"{title}: one caller",
        alt=f"{title}, one caller in a closed loop: {words}",
        caption=(
            "Dot and number: p50; ticks: p90 and p99, where the samples suffice. Closed loop, "
            f"offered load: one caller{repeats}. {count_words(cases)}. {run.hardware}."
        ),
        height_in=range_height_in(len(cases)),
    )
