"""Rows a second by batch and clients: a field of numbers, darker where there are more."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.series import count_words
from dualtower_benchmarks.report.svg import INK, SERIES, Panel, draw
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["throughput_panels"]

_FAINTEST, _STRONGEST = 0.06, 0.42  # opacity; the number on it must stay legible


def throughput_panels(run: Run) -> list[Panel]:
    """A panel for each subject that has more than one cell."""
    subjects: dict[str, list[Measured]] = {}
    for case in run.of("closed"):
        if case.rows:
            subjects.setdefault(run.labels(case), []).append(case)
    return [
        _panel(run, label, cases, f"{run.mark}-{number_of}")
        for number_of, (label, cases) in enumerate(subjects.items())
        if len({(case["batch_rows"], case["concurrency"]) for case in cases}) > 1
    ]


def _panel(run: Run, label: str, cases: Sequence[Measured], name: str) -> Panel:
    batches = sorted({case["batch_rows"] for case in cases})
    clients = sorted({case["concurrency"] for case in cases})
    rates = [case.value("rows_per_s") or 0.0 for case in cases]
    most = max(rates) or 1.0

    def paint(axes: Axes) -> None:
        for case, rate in zip(cases, rates, strict=True):
            x, y = clients.index(case["concurrency"]), batches.index(case["batch_rows"])
            strength = _FAINTEST + (_STRONGEST - _FAINTEST) * rate / most
            axes.add_patch(
                Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, color=SERIES[0], alpha=strength, lw=0)
            )
            axes.text(
                x, y, number(rate), ha="center", va="center", color=INK,
                fontsize=11.5 if len(clients) <= 5 else 9.5,
                fontweight="bold" if rate == most else "normal",
            )  # fmt: skip
        axes.set_xlim(-0.5, len(clients) - 0.5)
        axes.set_ylim(-0.5, len(batches) - 0.5)
        axes.set_xticks(range(len(clients)), [str(one) for one in clients])
        axes.set_yticks(range(len(batches)), [str(one) for one in batches])
        axes.set_xlabel("clients")
        axes.set_ylabel("rows of a request")
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)

    words = "; ".join(
        f"batch {case['batch_rows']}, {case['concurrency']} clients: {number(rate)}"
        for case, rate in zip(cases, rates, strict=True)
    )
    repeats = f", medians of {run.repeats} repeats" if run.repeats > 1 else ""
    return draw(
        f"throughput-{name}",
        paint,
        title=f"{label}: rows a second",
        alt=f"{label}, rows a second in a closed loop: {words}",
        caption=(
            f"Closed loop, offered load: the clients of the axis{repeats}; bold is the most. "
            f"{count_words(cases)}. {run.hardware}."
        ),
        height_in=1.7 + 0.52 * len(batches),
    )
