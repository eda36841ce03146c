"""The points of a run as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.machine import NO_GPU
from dualtower_benchmarks.numerals import count, milliseconds, number

__all__ = ["bench_table"]

_HEAD = ("what", "device", "batch", "load", "rows/s", "p50 ms", "p90 ms", "p99 ms", "n", "failed")


def bench_table(document: Mapping[str, Any]) -> str:
    """All points with their load and count, then what is missing and why; `–`: too few samples."""
    lines = _aligned([_HEAD, *[_cells(row) for row in document["points"]]])
    voids = [
        f"void: point {row['point']}, {row['void']}" for row in document["points"] if row["void"]
    ]
    gpu = document["in_process"].get("GPU")
    devices = [f"GPU: {gpu}"] if gpu == NO_GPU else []
    machine = document["machine"]
    where = (
        f"{machine['cpu_model'] or 'unknown CPU'}, {machine['usable_cores']} cores, "
        f"load before {number(machine['load_average_1_min_before'])}, seed {document['seed']}"
    )
    return "\n".join([*lines, *voids, *devices, where])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    what = " ".join(part for part in (row["model"], row["variant"]) if part)
    if row["part"] == "in_process":
        what += " in process"
    if row["loop"] == "open":
        load = f"open {number(row['offered_qps'])}/s"
    elif row["threads"]:
        load = f"closed, threads {row['threads']}"
    else:
        load = f"closed, clients {row['concurrency']}"
    failed = sum(row["errors"].values()) + row["skipped"]
    return (
        what,
        row["device"],
        str(row["batch_rows"]),
        load,
        number(row["rows_per_s"]),
        *(milliseconds(row[name]) for name in ("p50_ms", "p90_ms", "p99_ms")),
        count(row["n"]),
        count(failed),
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Two columns to the left, one for the load, all numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, 1, 3) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
