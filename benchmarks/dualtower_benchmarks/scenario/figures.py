"""What a part measured as figures that have a better direction: what a comparison is made of.

    rows of a part ─► a PartRow each: what is the same in every run, and its figures

Each part declares its figures in one place, its `figures.py`. What has no better direction, such as
a count of probes, is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["FAILED", "HIGHER", "LEAST_TURNS", "LOWER", "SHARE", "Figure", "PartRow", "figure"]

LOWER, HIGHER = "lower", "higher"
SHARE = 0.01  # a difference of shares that is of no interest
FAILED = 0.001  # the same of failed requests, as of points
LEAST_TURNS = (
    4  # on each side; of fewer a rank test cannot reach 5 %: 2 of the 70 orders of 4 and 4
)


@dataclass(frozen=True)
class Figure:
    """A number of a part, better where it is lower, or where it is higher.

    Args:
        name: a key such as during_p99_ms.
        unit: of the value: ms, s, µs, /s, bytes, MB, share, cosine, or "" of a ratio.
        better: LOWER or HIGHER.
        low, high: between which it lies by its own measurement: an interval, the bracket of a
            search, the range of turns; None: nothing but the value is known. `high` may be inf.
        n: requests, calls or turns behind it; None: the file does not say.
        least: what a difference must exceed, of what is compared by difference; None: by ratio.
    """

    name: str
    unit: str
    better: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    least: float | None = None


@dataclass(frozen=True)
class PartRow:
    """A row of a part.

    Args:
        key: equal in every run for the same thing: the case's, and which of its things it is.
        words: what it is, as `key` tells it from others.
        row: as the results have it.
        void: why its figures do not count; None: they do.
    """

    key: str
    words: str
    row: Mapping[str, Any]
    figures: Sequence[Figure]
    void: str | None = None


def figure(
    name: str,
    unit: str,
    found: Mapping[str, float] | float | None,
    *,
    better: str = LOWER,
    n: int | None = None,
    turns: int | None = None,
    least: float | None = None,
) -> list[Figure]:
    """The figure, or none where nothing was found.

    Args:
        found: a value, alone or with its `low` and `high`.
        turns: of which `low` and `high` are the ends; fewer than LEAST_TURNS are no range. None:
            they are an interval.
    """
    if found is None:
        return []
    if not isinstance(found, Mapping):
        return [Figure(name, unit, better, found, n=n, least=least)]
    known = turns is None or turns >= LEAST_TURNS
    low, high = (found["low"], found["high"]) if known else (None, None)
    return [Figure(name, unit, better, found["value"], low, high, n or turns, least)]
