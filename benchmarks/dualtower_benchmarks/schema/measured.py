"""Rows of a results file by their case: what was measured more than once stands together.

Over repeats a value is the median of the repeats and its span goes from the smallest to the largest
of them; of one repeat alone the span is the interval of its own samples.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Measured", "measured_of"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """One case of a run.

    Args:
        rows: of its repeats, without the void attempts.
        void: the void attempts.
    """

    rows: Sequence[Row]
    void: Sequence[Row]

    def __getitem__(self, name: str) -> Any:
        """A field that all its rows share: driver, batch_rows, …"""
        return self._any[name]

    @property
    def _any(self) -> Row:
        return (*self.rows, *self.void)[0]

    @property
    def is_open(self) -> bool:
        return bool(self._any["loop"] == "open")

    @property
    def n(self) -> int:
        """Answered requests of all repeats."""
        return sum(row["n"] for row in self.rows)

    @property
    def failed(self) -> int:
        """Failed requests of all repeats, void attempts left out."""
        return sum(sum(row["errors"].values()) for row in self.rows)

    @property
    def skipped(self) -> int:
        return sum(row["skipped"] for row in self.rows)

    @property
    def offered_qps(self) -> float | None:
        """Of an open loop, the median of the repeats; of void ones where there are no others."""
        rows = [row["offered_qps"] for row in self.rows or self.void]
        return statistics.median_low(rows) if self.is_open and rows else None

    def values(self, name: str) -> list[float]:
        """A column of all repeats that have it; of a percentile its value."""
        found = (row[name] for row in self.rows)
        return [
            one["value"] if isinstance(one, Mapping) else one for one in found if one is not None
        ]

    def value(self, name: str) -> float | None:
        """The median of the repeats, a value that was seen; None where no repeat has it."""
        values = self.values(name)
        return statistics.median_low(values) if values else None

    def span(self, name: str) -> tuple[float, float] | None:
        """Smallest and largest of the repeats; of one percentile alone its interval."""
        values = self.values(name)
        if len(values) != 1:
            return (min(values), max(values)) if values else None
        (only,) = (row[name] for row in self.rows if row[name] is not None)
        return (only["low"], only["high"]) if isinstance(only, Mapping) else (only, only)


def measured_of(rows: Iterable[Row]) -> list[Measured]:
    """All cases in the order of their first row."""
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    return [
        Measured(
            rows=[row for row in of_case if row["void"] is None],
            void=[row for row in of_case if row["void"] is not None],
        )
        for of_case in by_key.values()
    ]
