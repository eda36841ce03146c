"""Searches as tables, one for each catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.index.front import on_front
from dualtower_benchmarks.numerals import count, megabytes, milliseconds, number
from dualtower_benchmarks.scenario.blocks import Block

__all__ = ["index_blocks"]

_HEAD = ("", "effort", "recall", "interval", "p50 ms", "p99 ms", "users/s", "n", "build s", "disk",
         "memory", "front")  # fmt: skip


def index_blocks(found: Mapping[str, Any]) -> list[Block]:
    """The rows, then what is absent; `front`: nothing here is faster and finds as much."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        groups.setdefault(
            (row["items"], row["dim"], row["k"], row["batch"], row["threads"]), []
        ).append(row)
    blocks = []
    for (items, dim, k, batch, threads), rows in groups.items():
        title = (
            f"{count(items)} items of {dim} numbers, recall@{k} of "
            f"{count(rows[0]['recall']['users'])} users, batch {batch}, threads: {threads}"
        )
        front = on_front(rows)
        cells = [_cells(row, place in front) for place, row in enumerate(rows)]
        blocks.append(Block(title, _HEAD, cells))
    absent = dict.fromkeys(
        (case["engine"], case["items"], case["reason"]) for case in found["absent"]
    )
    notes = [
        f"absent: {ENGINES[engine].words}, {count(items)} items: {reason}"
        for engine, items, reason in absent
    ]
    return [*blocks, Block(notes=notes)]


def _cells(row: Mapping[str, Any], front: bool) -> tuple[str, ...]:
    recall = row["recall"]
    return (
        ENGINES[row["engine"]].words,
        str(row["effort"] or ""),
        f"{recall['value']:.4f}",
        f"{recall['low']:.4f}–{recall['high']:.4f}",
        milliseconds(row["p50_ms"]),
        milliseconds(row["p99_ms"]),
        number(row["users_per_s"]["value"]),
        count(row["n"]),
        number(row["build_s"]),
        megabytes(row["disk_bytes"]),
        megabytes(row["pss_bytes"]),
        "*" if front else "",
    )
