"""Shapes of a log in a few numbers: histograms by octave and by week."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt

__all__ = ["octaves", "weeks"]

_WEEK_S = 7 * 86_400
_FIRST_MONDAY_S = 4 * 86_400  # 1970-01-05


def octaves(counts: npt.NDArray[np.int64]) -> dict[str, int]:
    """How many of the counts are 0, 1, 2, 3–4, 5–8, 9–16 …, without empty bins at the ends.

    >>> octaves(np.array([1, 1, 3, 4, 5]))
    {'1': 2, '2': 0, '3-4': 2, '5-8': 1}
    """
    if not len(counts):
        return {}
    # the bin of n: 0, then 1 + ceil(log2(n)), exact for every integer that a float64 holds
    mantissas, exponents = np.frexp(np.maximum(counts, 1).astype(np.float64))
    places = np.where(counts > 0, exponents + (mantissas > 0.5), 0)
    found = np.bincount(places)
    return {_octave_name(k): int(found[k]) for k in range(int(places.min()), len(found))}


def _octave_name(place: int) -> str:
    if place <= 2:
        return str(place)
    return f"{2 ** (place - 2) + 1}-{2 ** (place - 1)}"


def weeks(times_s: npt.NDArray[np.int64]) -> dict[str, int]:
    """Interactions of each week from the first to the last, by the date of its Monday (UTC)."""
    if not len(times_s):
        return {}
    places = (times_s - _FIRST_MONDAY_S) // _WEEK_S
    first = int(places.min())
    begin = datetime(1970, 1, 5, tzinfo=timezone.utc)
    return {
        (begin + timedelta(weeks=first + week)).strftime("%Y-%m-%d"): int(count)
        for week, count in enumerate(np.bincount(places - first))
    }
