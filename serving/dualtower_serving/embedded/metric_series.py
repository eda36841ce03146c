"""Counters and histograms with labels: what `Metrics` is made of. Callers hold its lock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from dualtower_serving.embedded import prometheus_text

__all__ = ["Counter", "Histogram", "exponential_bounds"]


def exponential_bounds(first: float, factor: float, count: int) -> tuple[float, ...]:
    """`count` upper bounds, each `factor` times the one before; an infinite one comes on top."""
    bounds = [first]
    while len(bounds) < count:
        bounds.append(bounds[-1] * factor)
    return tuple(bounds)


@dataclass
class Counter:
    """A number for each set of label values."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    kind: str = "counter"
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, labels: tuple[str, ...], amount: float = 1) -> None:
        """Counts."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def total(self) -> float:
        """Of all label values."""
        return sum(self.values.values())

    def render(self) -> str:
        """The metric as text."""
        lines = [prometheus_text.header(self.name, self.kind, self.text)]
        for values, amount in self.values.items():
            pairs = list(zip(self.labels, values, strict=True))
            lines.append(prometheus_text.sample(self.name, pairs, amount))
        return "".join(lines)


@dataclass
class _Buckets:
    counts: list[int]
    total: float = 0.0


@dataclass
class Histogram:
    """Buckets for each set of label values."""

    name: str
    text: str
    bounds: Sequence[float]
    labels: tuple[str, ...] = ()
    cells: dict[tuple[str, ...], _Buckets] = field(default_factory=dict)

    def add(self, labels: tuple[str, ...], value: float) -> None:
        """One observation."""
        cell = self.cells.get(labels)
        if cell is None:
            cell = self.cells[labels] = _Buckets([0] * (len(self.bounds) + 1))
        cell.counts[bisect_left(self.bounds, value)] += 1
        cell.total += value

    def total(self) -> float:
        """The number of observations, of all label values."""
        return sum(sum(cell.counts) for cell in self.cells.values())

    def render(self) -> str:
        """The metric as text."""
        lines = [prometheus_text.header(self.name, "histogram", self.text)]
        for values, cell in self.cells.items():
            pairs = list(zip(self.labels, values, strict=True))
            lines.append(
                prometheus_text.histogram(self.name, pairs, self.bounds, cell.counts, cell.total)
            )
        return "".join(lines)
