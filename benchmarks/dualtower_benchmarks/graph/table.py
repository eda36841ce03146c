"""The result of `bench graph` as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table
from dualtower_benchmarks.numerals import megabytes, number

__all__ = ["graph_tables"]

_HEADER = ("", "ms", "CPU ms", "× reference", "CPU × reference", "trick", "error", "file")
_PADDING = ("", "tokens", "ms", "CPU ms", "× fixed width", "CPU × fixed width")


def graph_tables(document: Mapping[str, Any]) -> list[Table]:
    """A table for each number of threads and batch, and one of padding for each of threads.

    The column "trick" is the CPU time of a row over that of the row above it.
    """
    settings, tables = document["settings"], []
    load = number(document["machine"]["load_average_1_min_before"])
    for threads in settings["threads"]:
        for batch in settings["batches"]:
            forms = _chosen(document["forms"], threads, batch)
            title = (
                f"batch {batch}, {settings['tokens']} tokens, threads {threads} "
                f"(load before {load})"
            )
            above = [None, *forms[:-1]]
            rows = [_row(row, before) for row, before in zip(forms, above, strict=True)]
            reference = _chosen(document["reference"], threads, batch)
            if reference:
                rows.append(_reference_row(reference))
            tables.append(Table(title, rows, _HEADER))
        padding = [row for row in document["padding"] if row["threads"] == threads]
        if padding:
            tables.append(_padding_table(padding, threads))
    return tables


def _chosen(rows: list[dict[str, Any]], threads: int, batch: int) -> list[dict[str, Any]]:
    return [row for row in rows if (row["threads"], row["batch"]) == (threads, batch)]


def _row(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[str]:
    return [
        row["name"],
        number(row["wall_ms"]),
        number(row["cpu_ms"]),
        _ratio(row["ratio"]),
        _ratio(row["cpu_ratio"]),
        "" if before is None else f"× {row['cpu_ms'] / before['cpu_ms']:.2f}",
        f"{row['error']:.0e}",
        megabytes(row["file_bytes"]),
    ]


def _reference_row(rows: list[dict[str, Any]]) -> list[str]:
    """The reference ran beside every form; its quietest turn stands here."""
    best = min(rows, key=lambda row: row["wall_ms"])
    cpu = min(row["cpu_ms"] for row in rows)
    return [best["name"], number(best["wall_ms"]), number(cpu), "", "", "", f"{best['error']:.0e}"]


def _padding_table(rows: list[dict[str, Any]], threads: int) -> Table:
    fixed = rows[0]["tokens"]
    cells = [
        [
            row["name"],
            f"{row['tokens']:,} (× {row['tokens'] / fixed:.2f})",
            number(row["wall_ms"]),
            number(row["cpu_ms"]),
            _ratio(row["ratio"]),
            _ratio(row["cpu_ratio"]),
        ]
        for row in rows
    ]
    return Table(f"32 real texts, threads {threads}", cells, _PADDING)


def _ratio(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio['value']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
