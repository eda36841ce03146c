"""Of training: rows a second of each engine of ours, and its ratio to the reference.

The reference's own rate says nothing of ours, and is no figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.scenario.figures import HIGHER, Figure, PartRow, figure
from dualtower_benchmarks.training.speed import REFERENCE
from dualtower_benchmarks.training.table import training_words

__all__ = ["training_figures"]


def training_figures(found: Mapping[str, Any]) -> list[PartRow]:
    """A row an engine of a measurement."""
    return [
        PartRow(
            f"{row['key']} {row['engine']}",
            f"{row['engine']}: {training_words(row)}",
            row,
            _figures(row),
        )
        for row in found["rows"]
        if row["engine"] != REFERENCE
    ]


def _figures(row: Mapping[str, Any]) -> list[Figure]:
    turns, n = row["rounds"], row["n"]
    return [
        *figure("rows_per_s", "/s", row["rows_per_s"], better=HIGHER, n=n, turns=turns),
        *figure("ratio", "", row["ratio"], better=HIGHER, n=n, turns=turns),
    ]
