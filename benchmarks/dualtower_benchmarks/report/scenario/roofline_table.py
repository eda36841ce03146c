"""Operations and bytes of a row and the share of the peak; the panel is `roofline_figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import count, number, percent
from dualtower_benchmarks.report.tables import Cell, Table
from dualtower_benchmarks.schema.labels import load_words

__all__ = ["roofline_table"]

Row = Mapping[str, Any]


def roofline_table(points: Mapping[str, Sequence[Row]], where: str) -> Table | None:
    """Counts and shares of the peak: the fastest load of each subject and batch.

    Args:
        points: by subject.
    """
    fastest: dict[tuple[str, int], Row] = {}
    for label, of_label in points.items():
        for row in of_label:
            if row.get("flops_per_row"):
                place = (label, row["batch_rows"])
                old = fastest.get(place)
                if old is None or row["achieved_gflops"] > old["achieved_gflops"]:
                    fastest[place] = row
    rows = [(label, row) for (label, _), row in fastest.items()]
    if not rows:
        return None
    return Table(
        f"Operations and bytes of a row, counted from the graph, at the fastest load; {where}",
        (
            "what",
            "rows",
            "load",
            "MFLOP a row",
            "kB a row",
            "FLOP by byte",
            "GFLOP/s",
            "of the peak",
            "n",
        ),
        [
            (
                label,
                str(row["batch_rows"]),
                load_words(row, row.get("offered_qps")) if "loop" in row else "closed, 1 client",
                number(row["flops_per_row"] / 1e6),
                number(row["bytes_per_row"] / 1e3 if row["bytes_per_row"] else None),
                number(row["intensity"]),
                Cell(number(row["achieved_gflops"]), f"roof {number(row['roof_gflops'])}"),
                percent(row["share_of_peak"]),
                count(row.get("n")),
            )
            for label, row in rows
        ],
        prose=frozenset({"load"}),
    )  # fmt: skip
