"""Ratios between points of one run, which travel to another machine better than milliseconds do.

The reference is the item tower's SavedModel in process on the CPU at the same number of rows: over
it the server with one client shows what the wire and the server cost, an edge file what LiteRT
saves, a GPU what the device brings.
"""

from __future__ import annotations

from typing import Any

from dualtower_benchmarks.percentiles import ratio_of_percentiles
from dualtower_benchmarks.points import Points

__all__ = ["ratios_of"]

_PERCENTILE = ("p50", 0.5)


def ratios_of(points: Points) -> list[dict[str, Any]]:
    """Each comparable point's p50 over the reference's, with a bootstrap interval.

    Returns:
        rows with `point`, `reference_point`, `percentile`, `value`, `low`, `high`; without those
        whose samples are too few.
    """
    name, q = _PERCENTILE
    references = {
        row["batch_rows"]: row["point"]
        for row in points.rows
        if row["part"] == "in_process" and row["device"] == "CPU"
    }
    ratios = []
    for row in points.rows:
        reference = references.get(row["batch_rows"])
        if reference is None or row["point"] == reference or not _comparable(row):
            continue
        estimate = ratio_of_percentiles(
            points.raw[row["point"]].latency_ns,
            points.raw[reference].latency_ns,
            q,
            seed=points.config.seed,
            confidence=points.config.confidence,
        )
        if estimate is not None:
            ratios.append(
                {
                    "point": row["point"],
                    "reference_point": reference,
                    "percentile": name,
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                }
            )
    return ratios


def _comparable(row: dict[str, Any]) -> bool:
    return (row["model"], row["loop"], row["concurrency"]) == ("item_tower", "closed", 1)
