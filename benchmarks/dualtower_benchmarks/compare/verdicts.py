"""What a comparison comes to: effects with their verdicts, points of them, and all points.

What parts have measured beside points comes as figures with their verdicts, and entries of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.compare.alike import Difference
from dualtower_benchmarks.compare.baselines import Baselines
from dualtower_benchmarks.compare.effect import Effect
from dualtower_benchmarks.compare.side import Side
from dualtower_benchmarks.scenario.figures import Figure

__all__ = [
    "BETTER",
    "NOISE_NOT_KNOWN",
    "NOT_COMPARABLE",
    "WITHIN_NOISE",
    "WORSE",
    "Comparison",
    "Entry",
    "Judged",
    "JudgedFigure",
    "Point",
    "measure_word",
]

WORSE, BETTER = "worse", "better"
WITHIN_NOISE, NOT_COMPARABLE = "within noise", "not comparable"
NOISE_NOT_KNOWN = "noise not known"  # of a figure that was measured once and has no interval


@dataclass(frozen=True)
class Judged:
    """An effect with its verdict.

    Args:
        p: of the nearer direction, two-sided, after Holm over all effects of the comparison.
        noise: the ratio up to which repeats differ without a change; None: nobody measured twice.
    """

    effect: Effect
    p: float
    noise: float | None
    verdict: str


@dataclass(frozen=True)
class Point:
    """A key that both files have.

    Args:
        row: of B, with what was measured.
        reasons: why it is not comparable.
        notes: what to bear in mind.
    """

    key: str
    row: Mapping[str, Any]
    offered_a: float | None
    verdict: str
    effects: tuple[Judged, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedFigure:
    """A figure of a part on both sides, with its verdict.

    Args:
        a, b: over their repeats.
        change: b / a; where the figure is compared by difference b − a, and so all that follows.
        low, high: what `change` lies between, from the ends of both; None: one of them has none.
        margin: what `change` has to be beyond: the largest of threshold, noise and the change of
            the machine's pace.
        noise: up to which runs differ without a change; None: nobody measured twice.
    """

    a: Figure
    b: Figure
    change: float
    low: float | None
    high: float | None
    margin: float
    noise: float | None
    verdict: str


@dataclass(frozen=True)
class Entry:
    """What both files have of a part.

    Args:
        part: its table's name, such as limit.
        words: what was measured.
        reasons: why it is not comparable.
        notes: what to bear in mind.
    """

    part: str
    key: str
    words: str
    verdict: str
    figures: tuple[JudgedFigure, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two files, compared.

    Args:
        only_a, only_b: rows, or absent cases, of keys that the other file does not have.
        entries: of parts.
        only_parts_a, only_parts_b: words of the entries that the other file does not have, by key.
        warnings: what holds for all points.
        baselines: earlier runs that the noise is of, beside the repeats.
    """

    a: Side
    b: Side
    threshold: float
    confidence: float
    machine: tuple[Difference, ...]
    software: tuple[Difference, ...]
    warnings: tuple[str, ...]
    points: tuple[Point, ...]
    only_a: tuple[Mapping[str, Any], ...]
    only_b: tuple[Mapping[str, Any], ...]
    baselines: Baselines
    entries: tuple[Entry, ...]
    only_parts_a: Mapping[str, str]
    only_parts_b: Mapping[str, str]

    @property
    def every(self) -> Sequence[Point | Entry]:
        """Everything that both files have."""
        return (*self.points, *self.entries)

    @property
    def tests(self) -> int:
        """How many effects were judged together."""
        return sum(len(point.effects) for point in self.points)

    def of(self, verdict: str) -> list[Point | Entry]:
        return [one for one in self.every if one.verdict == verdict]


def measure_word(measure: str) -> str:
    """p99_9_ms as p99.9, rows_per_s as rows/s."""
    if measure == "rows_per_s":
        return "rows/s"
    return measure.removesuffix("_ms").replace("_", " " if measure == "failed_share" else ".")
