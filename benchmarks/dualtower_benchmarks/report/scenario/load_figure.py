"""Latency over the load: the offered rate of an open loop, the clients of a closed one."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.series import (
    Group,
    Line,
    client_words,
    count_words,
    groups_of,
    key_of,
    legend_below,
    rate_words,
)
from dualtower_benchmarks.report.svg import INK, Panel, draw, log_ticks, plain_ticks
from dualtower_benchmarks.schema.labels import asked
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["closed_panels", "open_panels"]

_LOG_SPAN = 4.0  # a wider range is drawn on a logarithmic axis
_SLO_REACH = 12.0  # an SLO further above the latencies is not drawn, since it would flatten them


def open_panels(run: Run) -> list[Panel]:
    """A panel for each model and batch, void rates as crosses on the axis."""
    return [
        _open_panel(run, group)
        for group in groups_of(run, run.of("open"), lambda case: case.offered_qps or 0.0)
    ]


def closed_panels(run: Run) -> list[Panel]:
    """A panel for each model and batch that was asked by more than one number of clients."""
    clients: dict[tuple[str, str, int], set[int]] = {}
    for case in run.of("closed"):
        clients.setdefault(_work(run, case), set()).add(case["concurrency"])
    several = [case for case in run.of("closed") if len(clients[_work(run, case)]) > 1]
    groups = groups_of(run, several, lambda case: case["concurrency"])
    return [_closed_panel(run, group) for group in groups]


def _work(run: Run, case: Measured) -> tuple[str, str, int]:
    """What is measured by how much, whatever the number of clients."""
    return run.labels(case), case["model"], case["batch_rows"]


def _open_panel(run: Run, group: Group) -> Panel:
    labels = [line.label for line in group.lines]
    slos = sorted({case["slo_p99_ms"] for case in group.cases})
    height_in = 3.9 + 0.24 * -(-len(labels) // key_of(labels))
    rates = [case.offered_qps for case in group.cases if case.offered_qps]

    def paint(axes: Axes) -> None:
        for line in group.lines:
            _paint_line(axes, line, [case.offered_qps or 0.0 for case in line.cases])
        highest = max(_shown(group.cases), default=0.0)
        for slo in slos:
            if slo <= _SLO_REACH * highest:
                axes.axhline(slo, color=INK, lw=1.0, ls="--")
                axes.annotate(
                    f"SLO {asked(slo)} ms", (0.0, slo), xycoords=("axes fraction", "data"),
                    textcoords="offset points", xytext=(4, 4), color=INK, fontsize=10.5,
                )  # fmt: skip
        axes.set_xlabel("requests a second offered")
        axes.set_ylabel("latency, ms")
        axes.margins(0.12)
        if max(rates, default=1.0) > _LOG_SPAN * min(rates, default=1.0):
            log_ticks(axes, "x")
        else:
            axes.locator_params(axis="x", nbins=5)
            plain_ticks(axes, "x")
        log_ticks(axes, "y")
        legend_below(axes, labels, height_in=height_in)

    return draw(
        f"open-{group.name}",
        paint,
        title=group.title,
        alt=f"{group.title}, open loop: " + "; ".join(_words(group)),
        caption=(
            f"Open loop, {rate_words(group.cases)}, latency from the scheduled instant. Filled: "
            f"p99, hollow: p50, {_bars(run)}. × is void. SLO of the p99: "
            f"{', '.join(f'{asked(slo)} ms' for slo in slos)}. {count_words(group.cases)}. "
            f"{run.hardware}."
        ),
        height_in=height_in,
    )


def _closed_panel(run: Run, group: Group) -> Panel:
    labels = [line.label for line in group.lines]
    clients = sorted({case["concurrency"] for case in group.cases})
    height_in = 3.9 + 0.24 * -(-len(labels) // key_of(labels))

    def paint(axes: Axes) -> None:
        for line in group.lines:
            _paint_line(axes, line, [case["concurrency"] for case in line.cases])
        axes.set_xlabel("clients, each with one request under way")
        axes.set_ylabel("latency, ms")
        axes.margins(0.12)
        log_ticks(axes, "x", "y")
        axes.xaxis.set_major_locator(FixedLocator(clients))
        axes.xaxis.set_minor_locator(NullLocator())
        legend_below(axes, labels, height_in=height_in)

    return draw(
        f"closed-{group.name}",
        paint,
        title=group.title,
        alt=f"{group.title}, closed loop: " + "; ".join(_words(group)),
        caption=(
            f"Closed loop, offered load: {client_words(group.cases)} who wait for their "
            f"answers. Filled: p99 where the samples suffice, hollow: p50, {_bars(run)}. "
            f"{count_words(group.cases)}. {run.hardware}."
        ),
        height_in=height_in,
    )


def _paint_line(axes: Axes, line: Line, x: Sequence[float]) -> None:
    for name, filled, style in (("p99_ms", True, "-"), ("p50_ms", False, ":")):
        here = [
            (place, value, case.span(name))
            for place, case in zip(x, line.cases, strict=True)
            if (value := case.value(name)) is not None
        ]
        for place, _, span in here:
            assert span is not None
            axes.plot([place, place], span, color=line.colour, lw=1.0)
        axes.plot(
            [place for place, _, _ in here],
            [value for _, value, _ in here],
            color=line.colour,
            marker=line.marker,
            markerfacecolor=line.colour if filled else "none",
            ls=style,
            lw=1.6,
        )
    void = [place for place, case in zip(x, line.cases, strict=True) if not case.rows]
    axes.plot(
        void, [0.03] * len(void), transform=axes.get_xaxis_transform(),
        color=line.colour, marker="x", markeredgewidth=1.8, ls="", clip_on=False,
    )  # fmt: skip
    axes.plot([], [], color=line.colour, marker=line.marker, label=line.label)


def _shown(cases: Sequence[Measured]) -> list[float]:
    return [
        value for case in cases for name in ("p50_ms", "p99_ms")
        if (value := case.value(name)) is not None
    ]  # fmt: skip


def _bars(run: Run) -> str:
    if run.repeats > 1:
        return f"the median of {run.repeats} repeats with a line from their smallest to largest"
    return f"with a line for the {100 * run.confidence:g} % interval"


def _words(group: Group) -> list[str]:
    found = []
    for line in group.lines:
        for case in line.cases:
            load = (
                f"{asked(case.offered_qps)} requests a second"
                if case.is_open
                else f"{case['concurrency']} clients"
            )
            if not case.rows:
                found.append(f"{line.label} at {load} void")
                continue
            p50, p99 = (number(case.value(name)) for name in ("p50_ms", "p99_ms"))
            found.append(f"{line.label} at {load} p50 {p50} ms, p99 {p99} ms")
    return found
