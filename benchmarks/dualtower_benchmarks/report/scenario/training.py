"""The section of the page that has training: rows a second of each engine, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dualtower_benchmarks.numerals import DASH, NBSP, bounds, count, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.section import Section
from dualtower_benchmarks.report.svg import INK, SERIES, Panel, draw, plain_ticks
from dualtower_benchmarks.report.tables import Cell, Table
from dualtower_benchmarks.training.table import training_title

__all__ = ["training_section"]

Row = Mapping[str, Any]
_HEAD = ("engine", "rows/s", "step, s", "of the matrix peak", "× reference", "first loss", "steps")


def training_section(inputs: Inputs) -> Section:
    """A panel and a table for each measurement of every results file that has training."""
    panels: list[Panel] = []
    tables: list[Table] = []
    reasons: list[str] = []
    for place, one in enumerate(inputs.of("training")):
        where = hardware(one.document)
        groups: dict[str, list[Row]] = {}
        for row in one.found["rows"]:
            groups.setdefault(row["key"], []).append(row)
        for key, rows in groups.items():
            panels.append(_panel(rows, f"training-{place}-{key}", where))
            tables.append(_table(rows, where))
        reasons += [
            f"{case['engine']} is absent: {case['reason']}." for case in one.found["absent"]
        ]
    return Section(
        "training-speed",
        "Training throughput",
        note=" ".join(
            [
                "A step is the whole of it: the passes of both sides, loss, gradients and AdamW on "
                "all weights. Engines get the same weights and ids and take turns in processes of "
                "their own.",
                *dict.fromkeys(reasons),
            ]
        )
        if panels
        else "",
        panels=panels,
        folded=tables,
        missing="" if panels else "no training in these results (scenario train)",
    )


def _panel(rows: Sequence[Row], name: str, where: str) -> Panel:
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    unit = "histories" if rows[0]["what"] == "towers" else "pairs"

    def paint(axes: Axes) -> None:
        for row in rows:
            rate = row["rows_per_s"]
            place = engines.index(row["engine"])
            axes.plot([rate["low"], rate["high"]], [place, place], color=SERIES[0], lw=5, alpha=0.4)
            axes.plot(rate["value"], place, "o", color=SERIES[0], markersize=8)
            axes.annotate(
                number(rate["value"]), (rate["value"], place), textcoords="offset points",
                xytext=(0, 10), ha="center", color=INK, fontsize=10.5,
            )  # fmt: skip
        axes.set_yticks(range(len(engines)), [engine.replace(", ", ",\n") for engine in engines])
        axes.set_ylim(len(engines) - 0.4, -0.7)
        axes.set_xlim(0, 1.12 * max(row["rows_per_s"]["high"] for row in rows))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{unit} a second")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        plain_ticks(axes, "x")

    said = "; ".join(
        f"{row['engine']}: {number(row['rows_per_s']['value'])} {unit} a second" for row in rows
    )
    title = training_title(rows[0]).partition(";")[0]
    return draw(
        name,
        paint,
        title=title,
        alt=f"{title}: {said}",
        caption=(
            f"The dot is the median of {rows[0]['rounds']} rounds, the bar goes from the slowest "
            f"to the fastest; n{NBSP}={NBSP}{count(rows[0]['n'])} steps an engine. {where}."
        ),
        height_in=1.7 + 0.55 * len(engines),
    )


def _table(rows: Sequence[Row], where: str) -> Table:
    return Table(
        f"{training_title(rows[0])}; {where}",
        _HEAD,
        [
            (
                f"{row['engine']} ({row['version']})",
                Cell(number(row["rows_per_s"]["value"]), bounds(row["rows_per_s"])),
                Cell(number(row["step_s"]["value"]), bounds(row["step_s"])),
                DASH if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}",
                Cell(number(row["ratio"]["value"]), bounds(row["ratio"])) if row["ratio"] else DASH,
                number(row["first_loss"], 5),
                count(row["n"]),
            )
            for row in rows
        ],
        prose=frozenset({"engine"}),
    )
