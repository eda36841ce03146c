"""Parts of both files, entry by entry: limits, events, searches, training, clients, LoadGen.

    rows of a key in both ─► comparable? ─► A's figures against B's ─► a verdict each

A figure's repeats count by their median, and lie between the ends of all of them. It is worse or
better where the two do not overlap, the bracket of a search and an interval alike, and it changed
by more than the threshold and the noise: of A's repeats, of B's, and of earlier runs. A figure of
which nothing but a value is known is judged by the noise alone; without one nobody knows. Times and
rates have to change by more than the machine's own pace, too, where both files have it. There is no
chance to be had of figures without their requests, so none of them takes part in Holm's rule.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dualtower_benchmarks.compare.alike import row_reasons
from dualtower_benchmarks.compare.part_rows import PartRows
from dualtower_benchmarks.compare.verdicts import (
    BETTER,
    NOISE_NOT_KNOWN,
    NOT_COMPARABLE,
    WITHIN_NOISE,
    WORSE,
    Entry,
    JudgedFigure,
)
from dualtower_benchmarks.pace.summary import slower_words
from dualtower_benchmarks.scenario.figures import LOWER, Figure
from dualtower_benchmarks.stats.noise import noise_between

__all__ = ["entry_of"]

_TINY = 1e-9  # what is zero has no ratio
_TIMED = ("ms", "s", "µs", "/s")  # units of what depends on the machine's pace


def entry_of(
    key: str,
    a: PartRows,
    b: PartRows,
    everywhere: Sequence[str],
    across: Collection[str],
    threshold: float,
    baselines: Sequence[Mapping[str, PartRows]],
    pace: float | None = None,
) -> Entry:
    """The entry, judged.

    Args:
        everywhere: why nothing of the two files can be compared.
        baselines: rows of earlier runs of the same thing as A.
        pace: by what ratio the machine took longer in B; None: not known.
    """
    old, new = a.figures, b.figures
    reasons = [
        *everywhere,
        *row_reasons(a.last.row, b.last.row, across=across),
        *(f"void in {name}: {side.last.void}" for name, side in (("A", a), ("B", b))
          if all(row.void is not None for row in side.rows)),
    ]  # fmt: skip
    blank = Entry(a.part, key, b.last.words, NOT_COMPARABLE, reasons=tuple(reasons))
    if reasons:
        return blank
    earlier = [
        run[key].figures
        for run in baselines
        if key in run and not row_reasons(a.last.row, run[key].last.row, across=())
    ]
    figures = tuple(
        _judged(
            old[name], new[name], threshold, [run[name] for run in earlier if name in run], pace
        )
        for name in old
        if name in new
    )
    if not figures:
        return replace(blank, reasons=("no figure of it is in both",))
    notes = [
        f"only in {side}: {name.replace('_', ' ')}"
        for side, own, other in (("A", old, new), ("B", new, old))
        for name in own
        if name not in other
    ] + slower_words(pace, threshold)
    found = {one.verdict for one in figures}
    verdict = next(one for one in (WORSE, BETTER, NOISE_NOT_KNOWN, WITHIN_NOISE) if one in found)
    return replace(blank, verdict=verdict, figures=figures, notes=tuple(notes))


def _judged(
    old: Sequence[Figure],
    new: Sequence[Figure],
    threshold: float,
    earlier: Sequence[Sequence[Figure]],
    pace: float | None,
) -> JudgedFigure:
    """A's repeats of a figure against B's.

    Args:
        earlier: the repeats of other runs.
    """
    a, b = _whole(old), _whole(new)
    runs = [a, *map(_whole, earlier)]
    apart = (noise_between([_scaled(one, one.value) for one in of]) for of in (old, new, runs))
    noise = max((one for one in apart if one is not None), default=None)
    margin = max(math.log1p(threshold) if a.least is None else a.least, noise or 0.0)
    if pace is not None and a.least is None and a.unit in _TIMED:
        margin = max(margin, abs(math.log(pace)))
    change = _scaled(b, b.value) - _scaled(a, a.value)
    low = high = None
    if a.low is not None and a.high is not None and b.low is not None and b.high is not None:
        low = _scaled(b, b.low) - _scaled(a, a.high)
        high = _scaled(b, b.high) - _scaled(a, a.low)
    if abs(change) <= margin or (low is not None and high is not None and low <= 0.0 <= high):
        verdict = WITHIN_NOISE
    elif noise is None and low is None:
        verdict = NOISE_NOT_KNOWN
    else:
        verdict = WORSE if (change > 0.0) == (a.better == LOWER) else BETTER
    back = math.exp if a.least is None else float
    return JudgedFigure(
        a=a,
        b=b,
        change=back(change),
        low=None if low is None else back(low),
        high=None if high is None else back(high),
        margin=back(margin),
        noise=None if noise is None else back(noise),
        verdict=verdict,
    )


def _whole(repeats: Sequence[Figure]) -> Figure:
    """The median of the repeats, between the lowest and the highest end of all."""
    lows = [one.low for one in repeats if one.low is not None]
    highs = [one.high for one in repeats if one.high is not None]
    counts = [one.n for one in repeats if one.n is not None]
    known = len(lows) == len(highs) == len(repeats)
    return replace(
        repeats[0],
        value=statistics.median_low(one.value for one in repeats),
        low=min(lows) if known else None,
        high=max(highs) if known else None,
        n=sum(counts) if counts else None,
    )


def _scaled(figure: Figure, value: float) -> float:
    """The logarithm of what is compared by ratio."""
    return math.log(max(value, _TINY)) if figure.least is None else value
