"""The whole distribution of an open load's latencies, as HDR histograms are drawn: the axis is
1/(1 − q), so that each step to the right leaves a tenth as many requests above.

A curve ends where the samples no longer suffice for an interval of the percentile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.series import (
    count_words,
    key_of,
    legend_below,
    rate_words,
)
from dualtower_benchmarks.report.svg import MARKERS, SERIES, Panel, draw, log_ticks
from dualtower_benchmarks.schema.labels import asked
from dualtower_benchmarks.schema.measured import Measured
from dualtower_benchmarks.stats.percentiles import minimum_samples

__all__ = ["curve", "distribution_panels"]

_PLACES = 72  # of a curve; more cannot be seen
_DECADES = 6
_TICKS = {2: "50 %", 10: "90 %", 100: "99 %", 1e3: "99.9 %", 1e4: "99.99 %", 1e5: "99.999 %"}


@dataclass(frozen=True)
class _Curve:
    label: str
    case: Measured


def curve(
    latency_ns: npt.NDArray[np.int64], *, confidence: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places 1/(1 − q) and nearest-rank latencies in ms, as far as the samples go.

    Args:
        latency_ns: int64 [n], any order.
    """
    places = np.logspace(0, _DECADES, 1 + _PLACES * _DECADES // 4)[1:]
    shares = 1.0 - 1.0 / places
    enough = [minimum_samples(q, confidence=confidence) <= len(latency_ns) for q in shares]
    places, shares = places[enough], shares[enough]
    ordered = np.sort(latency_ns)
    rank = np.maximum(1, np.ceil(shares * len(ordered) - 1e-9)).astype(np.int64)
    return places, ordered[rank - 1] / 1e6


def distribution_panels(run: Run) -> list[Panel]:
    """Up to four curves a panel, those of one model and batch together."""
    panels: dict[tuple[str, int], list[_Curve]] = {}
    for case in run.of("open"):
        if any(len(run.kept(row).latency_ns) for row in case.rows):
            label = f"{run.labels(case, model=False)} {asked(case.offered_qps)}/s"
            of_panel = panels.setdefault((case["model"], case["batch_rows"]), [])
            of_panel.append(_Curve(label, case))
    return list(_chunked(run, panels))


def _chunked(run: Run, panels: dict[tuple[str, int], list[_Curve]]) -> Iterator[Panel]:
    for (model, batch), curves in panels.items():
        for part in range(0, len(curves), len(SERIES)):
            chunk = curves[part : part + len(SERIES)]
            name = f"{run.mark}-{model}-{batch}-{part}"
            yield _panel(run, f"{model}, batch {batch}", name, chunk)


def _panel(run: Run, title: str, name: str, curves: Sequence[_Curve]) -> Panel:
    labels = [one.label for one in curves]
    cases = [one.case for one in curves]
    height_in = 3.8 + 0.24 * -(-len(labels) // key_of(labels))

    def paint(axes: Axes) -> None:
        lowest, highest, farthest = math.inf, 0.0, 10.0
        for place, one in enumerate(curves):
            for row in one.case.rows:
                x, y = curve(run.kept(row).latency_ns, confidence=run.confidence)
                if not len(x):
                    continue
                axes.plot(x, y, color=SERIES[place], lw=1.2)
                axes.plot(
                    x[-1:], y[-1:], color=SERIES[place], marker=MARKERS[place], markersize=5, ls=""
                )
                lowest, highest = min(lowest, y[0]), max(highest, y[-1])
                farthest = max(farthest, x[-1])
            axes.plot([], [], color=SERIES[place], marker=MARKERS[place], label=one.label)
        axes.set_xscale("log")
        axes.set_xlim(1.0, farthest * 1.4)
        ticks = [tick for tick in _TICKS if tick <= farthest * 1.4]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _TICKS.get(round(value), "")))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("share of requests that are not slower")
        axes.set_ylabel("latency, ms")
        if highest > 6 * lowest:
            log_ticks(axes, "y")
        else:
            axes.set_ylim(bottom=0)
        legend_below(axes, labels, height_in=height_in)

    words = "; ".join(
        f"{one.label} p50 {number(one.case.value('p50_ms'))} ms, "
        f"p90 {number(one.case.value('p90_ms'))} ms, p99 {number(one.case.value('p99_ms'))} ms, "
        f"p99.9 {number(one.case.value('p99_9_ms'))} ms"
        for one in curves
    )
    each = f"One curve a repeat ({run.repeats}). " if run.repeats > 1 else ""
    return draw(
        f"distribution-{name}",
        paint,
        title=title,
        alt=f"{title}, distribution of the latencies: {words}",
        caption=(
            f"Open loop, {rate_words(cases)}, out of every request. {each}The axis is logarithmic "
            "in 1/(1 − q); a curve ends, with its marker, where the samples no longer suffice. "
            f"{count_words(cases)}. {run.hardware}."
        ),
        height_in=height_in,
    )
