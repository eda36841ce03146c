"""Which points nothing beats: no other is both faster and finds at least as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["on_front"]


def on_front(rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """Places of the rows on the Pareto front of recall and median latency; without one never."""
    timed = [
        (row["p50_ms"]["value"], -row["recall"]["value"], place)
        for place, row in enumerate(rows)
        if row["p50_ms"] is not None
    ]
    front: set[int] = set()
    highest = -1.0
    for _, negative, place in sorted(timed):
        if -negative > highest:
            highest = -negative
            front.add(place)
    return front
