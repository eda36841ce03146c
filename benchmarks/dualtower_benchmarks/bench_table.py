"""The points of a run as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.machine import NO_GPU

__all__ = ["bench_table"]

_HEAD = ("what", "device", "batch", "load", "rows/s", "p50 ms", "p90 ms", "p99 ms", "n", "errors")


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
        f"load before {machine['load_average_1_min_before']:.2f}, seed {document['seed']}"
    )
    return "\n".join([*lines, *voids, *devices, where])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    what = " ".join(part for part in (row["model"], row["variant"]) if part)
    if row["part"] == "in_process":
        what += " in process"
    if row["loop"] == "open":
        load = f"open {row['offered_qps']:.4g}/s"
    elif row["threads"]:
        load = f"{row['threads']} threads"
    else:
        load = f"closed × {row['concurrency']}"
    failed = sum(row["errors"].values()) + row["skipped"]
    return (
        what,
        row["device"],
        str(row["batch_rows"]),
        load,
        f"{row['rows_per_s']:.1f}",
        *(_milliseconds(row[name]) for name in ("p50_ms", "p90_ms", "p99_ms")),
        str(row["n"]),
        str(failed),
    )


def _milliseconds(estimate: Mapping[str, float] | None) -> str:
    return "–" if estimate is None else f"{estimate['value']:.2f}"


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
