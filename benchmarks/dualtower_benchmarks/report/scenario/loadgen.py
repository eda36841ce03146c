"""Runs of MLPerf LoadGen as tables: its verdicts, its own figures, and the embeddings' cosines."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.mlperf.case import OFFLINE
from dualtower_benchmarks.mlperf.table import RESULT_WORDS
from dualtower_benchmarks.numerals import DASH, count, number
from dualtower_benchmarks.report.tables import Cell, Table
from dualtower_benchmarks.schema.labels import DRIVER_NAMES

__all__ = [
    "accuracy_table",
    "answers",
    "by_key",
    "loadgen_table",
    "middle",
    "result_words",
    "subject_words",
]

Row = Mapping[str, Any]


def subject_words(row: Row) -> str:
    """What LoadGen drove: "LiteRT item_tower float32 2 threads"."""
    parts = [DRIVER_NAMES.get(row["driver"], row["driver"]), row["model"], row["variant"]]
    if row.get("threads"):
        parts.append(f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}")
    parts += ["XLA"] if row.get("xla") else []
    parts += [row["precision"]] if row.get("precision", "float32") != "float32" else []
    parts += ["GPU"] if row.get("device") == "GPU" else []
    return " ".join(part for part in parts if part)


def result_words(rows: Sequence[Row]) -> str:
    """What LoadGen judges by, the median of the valid repeats: "p90 3.21 ms"."""
    value = statistics.median_low(row["result"] for row in rows)
    return RESULT_WORDS[rows[0]["result_name"]].format(number(value))


def answers(rows: Sequence[Row]) -> int:
    """What the figures are of: queries, in Offline the samples of its one query."""
    samples = [row["samples_a_query"] if row["scenario"] == OFFLINE else 1 for row in rows]
    return sum(row["queries"] * one for row, one in zip(rows, samples, strict=True))


def by_key(rows: Sequence[Row]) -> list[list[Row]]:
    """The repeats of each case together."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append(row)
    return list(found.values())


def middle(rows: Sequence[Row], name: str) -> float | None:
    """The median of the repeats that have it, the valid ones where there are any."""
    valid = [row for row in rows if row["valid"]]
    values = [row[name] for row in valid or rows if row[name] is not None]
    return statistics.median_low(values) if values else None


def loadgen_table(found: Mapping[str, Any], where: str) -> Table | None:
    """Cases with their repeats: what was offered, the verdict, a result only where one is valid.

    None where nothing was run and nothing was asked for.
    """
    cases = by_key(found["rows"])
    absent = [one for one in found["absent"] if one.get("mode") != "accuracy"]
    if not cases and not absent:
        return None
    return Table(
        f"MLPerf LoadGen, no submission; medians of the valid repeats; {where}",
        ("LoadGen", "what", "rows", "offered/s", "valid", "result", "p50, ms", "p90, ms",
         "p99, ms", "n"),
        [_cells(rows) for rows in cases],
        prose=frozenset({"what"}),
        marked=frozenset(
            place for place, rows in enumerate(cases) if not all(row["valid"] for row in rows)
        ),
        notes=[
            *_notes([*found["rows"], *absent]),
            "n: queries of all repeats, in Offline the samples of its one query.",
        ],
    )  # fmt: skip


def _cells(rows: Sequence[Row]) -> tuple[str | Cell, ...]:
    row = rows[0]
    valid = [one for one in rows if one["valid"]]
    found = [one["result"] for one in valid]
    span = f"{number(min(found))}–{number(max(found))}" if len(found) > 1 else ""
    return (
        str(row["scenario"]),
        subject_words(row),
        str(row["batch_rows"]),
        number(middle(rows, "offered_qps") or None),
        f"{len(valid)} of {len(rows)}",
        Cell(result_words(valid), span) if valid else DASH,
        *(number(middle(rows, name)) for name in ("p50_ms", "p90_ms", "p99_ms")),
        count(answers(rows)),
    )


def accuracy_table(found: Mapping[str, Any], where: str) -> Table | None:
    """How near each subject's embeddings are to the SavedModel's; None without an accuracy run."""
    cases = by_key(found.get("accuracy") or [])
    absent = [one for one in found["absent"] if one.get("mode") == "accuracy"]
    if not cases and not absent:
        return None
    rows = []
    for of_case in cases:
        first = of_case[0]
        lowest = [row["cosine_min"] for row in of_case if row["cosine_min"] is not None]
        valid = sum(row["valid"] for row in of_case)
        rows.append(
            (
                subject_words(first),
                str(first["batch_rows"]),
                f"{min(lowest):.6f}" if lowest else DASH,
                number(first["cosine_floor"]),
                f"{valid} of {len(of_case)}",
                count(sum(row["samples"] for row in of_case)),
                count(sum(row["rows"] for row in of_case)),
            )
        )
    reference = cases[0][0]["reference"] if cases else "the SavedModel"
    return Table(
        f"LoadGen's accuracy run: the smallest cosine to {reference}; {where}",
        ("what", "rows", "smallest cosine", "at least", "valid", "samples", "embeddings"),
        rows,
        marked=frozenset(
            place for place, of_case in enumerate(cases) if not all(row["valid"] for row in of_case)
        ),
        notes=_notes([*(found.get("accuracy") or []), *absent]),
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    """Why a run is not valid or absent, each reason of a subject once."""
    said = [
        f"{'accuracy' if row.get('mode') == 'accuracy' else row['scenario']} {subject_words(row)}: "
        f"{why.rstrip('. ')}."
        for row in rows
        for why in row.get("reasons") or [row.get("reason")]
        if why
    ]
    return list(dict.fromkeys(said))
