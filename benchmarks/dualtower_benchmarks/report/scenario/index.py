"""The section of the page that has searches: curves, what they cost, and a table each catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.index.front import on_front
from dualtower_benchmarks.numerals import bounds, count, megabytes, milliseconds, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.index_figure import cost_panels, recall_panels
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.section import Section
from dualtower_benchmarks.report.svg import Panel
from dualtower_benchmarks.report.tables import Cell, Table

__all__ = ["index_section"]

Row = Mapping[str, Any]
_HEAD = (
    "engine", "effort", "recall", "p50, ms", "p99, ms", "users/s", "calls", "build, s", "disk",
    "memory", "front",
)  # fmt: skip


def index_section(inputs: Inputs) -> Section:
    """Curves of every results file that has searches."""
    panels: list[Panel] = []
    tables: list[Table] = []
    versions: dict[str, None] = {}
    for place, one in enumerate(inputs.of("index")):
        rows = _of_repeats(one.found["rows"])
        where = hardware(one.document)
        panels += recall_panels(rows, f"i{place}", where)
        panels += cost_panels(rows, f"i{place}", where)
        tables += _tables(rows, where)
        absent = _absent(one.found["absent"])
        tables += [absent] if absent else []
        versions |= dict.fromkeys(row["version"] for row in rows)
    return Section(
        "index",
        "Search in an index",
        note=(
            "Made-up catalogues, clustered and skewed as learnt ones. Each engine searches in a "
            "process of its own, and they take turns. Recall is the share of the exact list, which "
            "is computed in float64. The recommender also leaves out five items a user and answers "
            f"with ids, as ItemIndex does; faiss and usearch answer with numbers of rows. "
            f"Versions: {', '.join(versions)}."
        )
        if panels or tables
        else "",
        panels=panels,
        folded=tables,
        missing=""
        if panels or tables
        else "no index in these results (scenario index, or `dualtower bench index`)",
    )


def _of_repeats(rows: Sequence[Row]) -> list[Row]:
    """A row a point: of several repeats that with the middle median latency."""
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    return [
        sorted(of, key=lambda row: row["p50_ms"]["value"] if row["p50_ms"] else 0.0)[
            (len(of) - 1) // 2
        ]
        for of in by_key.values()
    ]


def _tables(rows: Sequence[Row], where: str) -> list[Table]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = (row["items"], row["dim"], row["k"], row["batch"], row["threads"])
        groups.setdefault(key, []).append(row)
    tables = []
    for (items, dim, k, batch, threads), of in groups.items():
        front = on_front(of)
        tables.append(
            Table(
                f"{count(items)} items of {dim} numbers, best {k}, batch {batch}, threads: "
                f"{threads}; {where}",
                _HEAD,
                [_cells(row, place in front) for place, row in enumerate(of)],
                prose=frozenset({"engine"}),
                marked=frozenset(front),
                notes=[
                    "Marked rows are the front: nothing is faster and finds as much. A dash: too "
                    "few calls for the percentile."
                ],
            )
        )
    return tables


def _cells(row: Row, front: bool) -> tuple[str | Cell, ...]:
    recall = row["recall"]
    return (
        ENGINES[row["engine"]].words,
        str(row["effort"] or ""),
        Cell(f"{recall['value']:.4f}", f"{recall['low']:.4f}–{recall['high']:.4f}"),
        Cell(milliseconds(row["p50_ms"]), bounds(row["p50_ms"])),
        Cell(milliseconds(row["p99_ms"]), bounds(row["p99_ms"])),
        number(row["users_per_s"]["value"]),
        count(row["n"]),
        number(row["build_s"]),
        megabytes(row["disk_bytes"]),
        megabytes(row["pss_bytes"]),
        "yes" if front else "",
    )


def _absent(cases: Sequence[Row]) -> Table | None:
    found = dict.fromkeys((case["items"], case["engine"], case["reason"]) for case in cases)
    if not found:
        return None
    return Table(
        "Absent",
        ("items", "engine", "reason"),
        [(count(items), ENGINES[engine].words, reason) for items, engine, reason in found],
        prose=frozenset({"engine", "reason"}),
    )
