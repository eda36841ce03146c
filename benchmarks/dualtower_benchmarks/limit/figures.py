"""Of a search for a limit: the limit, between the highest rate that held and the lowest that broke.

Where probes contradict each other the bracket begins at the lowest that broke. A rate at which the
generator lagged says nothing of the server, and does not end it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.limit.table import slo_words
from dualtower_benchmarks.scenario.figures import HIGHER, Figure, PartRow
from dualtower_benchmarks.scenario.subject import what

__all__ = ["limit_figures"]


def limit_figures(found: Mapping[str, Any]) -> list[PartRow]:
    """A row a search."""
    return [
        PartRow(
            row["key"],
            f"limit: {what(row)}, batch {row['batch_rows']}, {slo_words(row)}",
            row,
            [_limit(row)],
        )
        for row in found["rows"]
    ]


def _limit(row: Mapping[str, Any]) -> Figure:
    held = row["limit_qps"] or 0.0  # null: no rate held
    low = min([held, *(broke for broke, _ in row["contradictions"])])
    high = math.inf if row["broke_qps"] is None else row["broke_qps"]
    return Figure("limit_qps", "/s", HIGHER, held, low, high, n=sum(p["n"] for p in row["probes"]))
