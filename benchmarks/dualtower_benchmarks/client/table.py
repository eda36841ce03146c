"""The client's measurements as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import DASH, bounds, count, megabytes, number
from dualtower_benchmarks.scenario.blocks import Block

__all__ = ["client_blocks"]

_INDENT = "  "
_NAMES = {"python": "python alone", "client": "dualtower_clients", "official": "the official way"}


def client_blocks(found: Mapping[str, Any]) -> list[Block]:
    """Codec, start and size on the disk; several repeats stand one below the other."""
    tables = (("codec", _codec), ("starts", _starts), ("installed", _installed))
    return [table(found[name]) for name, table in tables if found[name]]


def _codec(rows: Sequence[Mapping[str, Any]]) -> Block:
    first = rows[0]
    title = (
        f"codec: float32 [{first['rows']}, {first['dim']}], {count(first['strings'])} strings; "
        f"{first['versions']}; median of {first['rounds']} turns of {first['calls']} calls"
    )
    cells = [
        (
            row["case"],
            number(row["client_us"]["value"]),
            number(row["official_us"]["value"]),
            f"{number(row['ratio']['value'])} ({bounds(row['ratio'])})",
        )
        for row in rows
    ]
    head = ("", "client µs", "TensorFlow µs", "× faster (range)")
    return Block(title, head, cells, indent=_INDENT)


def _starts(rows: Sequence[Mapping[str, Any]]) -> Block:
    title = f"import in a fresh interpreter: median of {rows[0]['starts']}"
    cells = []
    for row in rows:
        taken = (
            f"{number(row['import_s']['value'])} ({bounds(row['import_s'])})",
            number(row["cpu_s"]),
        )
        if row["side"] == "python":  # it imports nothing: microseconds of a clock being read
            taken = (DASH, DASH)
        cells.append((_NAMES[row["side"]], *taken, megabytes(row["resident_bytes"])))
    return Block(title, ("", "s (range)", "CPU s", "resident"), cells, indent=_INDENT)


def _installed(rows: Sequence[Mapping[str, Any]]) -> Block:
    cells = []
    for row in rows:
        sizes = sorted(row["distributions"].items(), key=lambda one: -one[1])
        largest = ", ".join(f"{name} {megabytes(size)}" for name, size in sizes[:3])
        cells.append(
            (_NAMES[row["side"]], count(len(sizes)), megabytes(row["total_bytes"]), largest)
        )
    head = ("", "distributions", "size", "largest")
    return Block("on the disk", head, cells, indent=_INDENT)
