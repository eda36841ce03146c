"""Of the client: its codec's time, its ratio to TensorFlow's, an import, and bytes on the disk.

What the official way and a bare Python take says nothing of the client, and is no figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.scenario.figures import HIGHER, Figure, PartRow, figure

__all__ = ["client_figures"]

_OURS = "client"


def client_figures(found: Mapping[str, Any]) -> list[PartRow]:
    """A row a case of the codec, one of the import and one of the disk, of every repeat."""
    codec = [_row(f"codec, {row['case']}", row, _codec(row)) for row in found["codec"]]
    starts = [
        _row("import of dualtower_clients", row, _start(row))
        for row in found["starts"]
        if row["side"] == _OURS
    ]
    installed = [
        _row("dualtower on the disk", row, figure("total_bytes", "bytes", row["total_bytes"]))
        for row in found["installed"]
        if row["side"] == _OURS
    ]
    return [*codec, *starts, *installed]


def _row(what: str, row: Mapping[str, Any], figures: list[Figure]) -> PartRow:
    return PartRow(f"{row['key']} {what}", f"client: {what}", row, figures)


def _codec(row: Mapping[str, Any]) -> list[Figure]:
    n, turns = row["rounds"] * row["calls"], row["rounds"]
    return [
        *figure("client_us", "µs", row["client_us"], n=n, turns=turns),
        *figure("ratio", "", row["ratio"], better=HIGHER, n=n, turns=turns),
    ]


def _start(row: Mapping[str, Any]) -> list[Figure]:
    turns = row["starts"]
    return [
        *figure("import_s", "s", row["import_s"], n=turns, turns=turns),
        *figure("cpu_s", "s", row["cpu_s"], n=turns),
        *figure("resident_bytes", "bytes", row["resident_bytes"], n=turns),
    ]
