"""Which cases share a panel, and which of them a line: equal work stands side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.svg import MARKERS, SERIES, cut
from dualtower_benchmarks.schema.labels import asked
from dualtower_benchmarks.schema.measured import Measured

__all__ = [
    "Group",
    "Line",
    "client_words",
    "count_words",
    "groups_of",
    "key_of",
    "legend_below",
    "rate_words",
    "row_words",
]

_LEGEND_CHARS = 44
_LINES = len(SERIES)  # of a panel; more cannot be told apart


@dataclass(frozen=True)
class Line:
    """Cases that differ in their load alone."""

    label: str
    cases: Sequence[Measured]
    colour: str
    marker: str


@dataclass(frozen=True)
class Group:
    """A panel's worth of lines, all of one model and one batch."""

    title: str
    name: str
    lines: Sequence[Line]

    @property
    def cases(self) -> list[Measured]:
        return [case for line in self.lines for case in line.cases]


def groups_of(
    run: Run, cases: Sequence[Measured], by: Callable[[Measured], float]
) -> Iterator[Group]:
    """Panels by model and batch; more lines than there are colours go on in a further panel.

    Args:
        by: the order of the cases on a line.
    """
    panels: dict[tuple[str, int], dict[str, list[Measured]]] = {}
    for case in cases:
        of_panel = panels.setdefault((case["model"], case["batch_rows"]), {})
        of_panel.setdefault(run.labels(case, model=False), []).append(case)
    for (model, batch), lines in panels.items():
        found = list(lines.items())
        for part in range(0, len(found), _LINES):
            chunk = found[part : part + _LINES]
            yield Group(
                title=f"{model}, batch {batch}",
                name=f"{run.mark}-{model}-{batch}-{part}",
                lines=[
                    Line(label, sorted(of_line, key=by), SERIES[place], MARKERS[place])
                    for place, (label, of_line) in enumerate(chunk)
                ],
            )


def legend_below(axes: Axes, labels: Sequence[str], *, height_in: float) -> None:
    """The legend under the axis' name, one or more names a line as they fit."""
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        [cut(name, _LEGEND_CHARS) for name in names],
        loc="upper center",
        bbox_to_anchor=(0.45, -0.62 / (height_in - 1.1)),
        ncols=key_of(labels),
        columnspacing=1.2,
        handlelength=1.6,
    )


def key_of(labels: Sequence[str]) -> int:
    """How many names of a legend stand in a line."""
    longest = max((len(label) for label in labels), default=0)
    return 3 if longest <= 9 else 2 if longest <= 17 else 1


def rate_words(cases: Sequence[Measured]) -> str:
    """The offered load of open loops: "20 to 150 requests a second offered"."""
    rates = [case.offered_qps for case in cases if case.offered_qps is not None]
    if not rates:
        return "no rate offered"
    low, high = asked(min(rates)), asked(max(rates))
    return f"{low if low == high else f'{low} to {high}'} requests a second offered"


def client_words(cases: Sequence[Measured]) -> str:
    """The offered load of closed loops: "1 to 4 clients"."""
    clients = [case["concurrency"] for case in cases]
    low, high = min(clients), max(clients)
    span = f"{low}" if low == high else f"{low} to {high}"
    return f"{span} client{'s' if high > 1 else ''}"


def row_words(case: Measured) -> str:
    """The batch: "1 row", "16 rows"."""
    return f"{case['batch_rows']} row{'s' if case['batch_rows'] > 1 else ''}"


def count_words(cases: Sequence[Any]) -> str:
    """The number of samples: "n = 96 to 480 requests a point"."""
    counts = [case.n for case in cases]
    low, high = min(counts, default=0), max(counts, default=0)
    span = count(low) if low == high else f"{count(low)} to {count(high)}"
    return f"n{NBSP}={NBSP}{span} requests a point"
