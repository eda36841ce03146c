"""What takes of the pace say: of one run how much it changed, of two how far they lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.pace.work import KINDS

__all__ = [
    "NAMES",
    "change_of",
    "pace_of",
    "pace_of_cases",
    "pace_words",
    "slower",
    "slower_words",
]

Row = Mapping[str, Any]
_IN_A_ROW = 5  # takes, of which the median is a level
NAMES = {"compute_ms": "computing", "copy_ms": "copying"}


def pace_of(takes: Sequence[Row]) -> dict[str, Any] | None:
    """The section `pace` of a results file; None without a take.

    Returns:
        `takes` as they are, which stand once a case; `n`: how many there were; of each kind its
        `median`, smallest (`low`) and largest (`high`), milliseconds.
    """
    if not takes:
        return None
    each = {row["at_s"]: row for row in takes}
    spans = {kind: _span([row[kind] for row in each.values()]) for kind in KINDS}
    return {"takes": list(takes), "n": len(each), **spans}


def change_of(pace: Row) -> float:
    """By what ratio the pace changed within a run, of the kind that changed more.

    The largest over the smallest median of five takes in a row, so that a single slow one is no
    change of pace; of fewer takes their largest over their smallest.
    """
    takes = list({row["at_s"]: row for row in pace["takes"]}.values())
    changes = []
    for kind in KINDS:
        values = [row[kind] for row in takes]
        runs = [values[place : place + _IN_A_ROW] for place in range(len(values) - _IN_A_ROW + 1)]
        levels = [statistics.median(run) for run in runs] or values
        changes.append(max(levels) / min(levels))
    return float(max(changes))


def pace_of_cases(document: Row) -> dict[tuple[str, int], dict[str, float]]:
    """By key and repeat of a case the median of its takes over that of the run, by kind.

    Above 1 the machine was slower than it mostly was. Empty where the file has no pace.
    """
    pace = document.get("pace")
    if not pace:
        return {}
    by_case: dict[tuple[str, int], list[Row]] = {}
    for row in pace["takes"]:
        by_case.setdefault((row["key"], row["repeat"]), []).append(row)
    return {
        case: {kind: _median(rows, kind) / pace[kind]["median"] for kind in KINDS}
        for case, rows in by_case.items()
    }


def slower(a: Row, b: Row, key: str) -> float | None:
    """By what ratio the machine took longer around a case in B than in A, over all repeats.

    Of the kind that changed more; below 1 B's was faster. None where a file has no take of it.
    """
    old, new = (
        [row for row in (document.get("pace") or {}).get("takes", ()) if row["key"] == key]
        for document in (a, b)
    )
    if not old or not new:
        return None
    ratios = [_median(new, kind) / _median(old, kind) for kind in KINDS]
    return max(ratios, key=lambda ratio: max(ratio, 1 / ratio))


def slower_words(ratio: float | None, threshold: float) -> list[str]:
    """A note on two sides of a comparison; none where their paces are within the threshold."""
    if ratio is None or 1 / (1 + threshold) <= ratio <= 1 + threshold:
        return []
    return [f"the machine itself took ×{ratio:.3f} as long around it in B as in A"]


def pace_words(pace: Row | None) -> str:
    """The machine's own pace in half a sentence; "" where it was not taken."""
    if not pace:
        return ""
    spans = [
        f"{NAMES[kind]} {number(pace[kind]['low'])} to {number(pace[kind]['high'])}{NBSP}ms "
        f"(median {number(pace[kind]['median'])})"
        for kind in KINDS
    ]
    return (
        f"the machine's own pace changed by up to ×{number(change_of(pace))}: around the cases the "
        f"same work took {', '.join(spans)}, n{NBSP}={NBSP}{count(pace['n'])}; a "
        "change is one of medians of five in a row"
    )


def _span(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _median(rows: Iterable[Row], kind: str) -> float:
    return float(statistics.median(row[kind] for row in rows))
