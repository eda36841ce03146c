"""Of a search: how much it finds, how long it takes, and what the index takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.numerals import count
from dualtower_benchmarks.scenario.figures import HIGHER, SHARE, Figure, PartRow, figure

__all__ = ["index_figures"]


def index_figures(found: Mapping[str, Any]) -> list[PartRow]:
    """A row a point of the curve."""
    return [PartRow(row["key"], _words(row), row, _figures(row)) for row in found["rows"]]


def _figures(row: Mapping[str, Any]) -> list[Figure]:
    n, recall, rate = row["n"], row["recall"], row["users_per_s"]
    return [
        *figure("recall", "share", recall, better=HIGHER, n=recall["users"], least=SHARE),
        *figure("p50_ms", "ms", row["p50_ms"], n=n),
        *figure("p99_ms", "ms", row["p99_ms"], n=n),
        *figure("users_per_s", "/s", rate, better=HIGHER, n=n, turns=row["rounds"]),
        *figure("build_s", "s", row["build_s"]),
        *figure("disk_bytes", "bytes", row["disk_bytes"]),
        *figure("pss_bytes", "bytes", row["pss_bytes"]),
    ]


def _words(row: Mapping[str, Any]) -> str:
    effort = f" effort {row['effort']}" if row["effort"] else ""
    return (
        f"index: {ENGINES[row['engine']].words}{effort}, {count(row['items'])} items of "
        f"{row['dim']}, k {row['k']}, batch {row['batch']}, threads {row['threads']}"
    )
