"""What the searches in a catalogue found: how long a list takes where nearly all of it is right,
how long one without loss, what memory a search takes, how long a build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dualtower_benchmarks.index.engines import ENGINES, EXACT
from dualtower_benchmarks.numerals import NBSP, count, megabytes, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs

__all__ = ["builds", "exact", "index", "memory"]

Row = Mapping[str, Any]
_RECALL = 0.95
_NAMED = 4  # families in a sentence


def index(inputs: Inputs) -> str:
    """The shortest p50 at a recall, of each family in the largest catalogue; "" without any."""
    rows, where = _alike(inputs)
    if not rows:
        return ""
    best = _least(
        [row for row in rows if row["recall"]["value"] >= _RECALL],
        by=lambda row: str(row["family"]),
        of=_p50,
    )
    if not best:
        return f"No index reached a recall of {_RECALL} ({where})."
    texts = [
        f"{_name(row)} {number(_p50(row))} ms (recall {row['recall']['value']:.3f}, {_n(row)})"
        for row in best
    ]
    return (
        f"The shortest p50 of a search with a recall of {_RECALL} or more: {'; '.join(texts)}; "
        f"{where}."
    )


def exact(inputs: Inputs) -> str:
    """The p50 of the searches that leave nothing out; "" without any."""
    rows, where = _alike(inputs)
    found = _least([row for row in rows if ENGINES[row["engine"]].kind == EXACT], by=_name, of=_p50)
    texts = [f"{_name(row)} {number(_p50(row))} ms ({_n(row)})" for row in found]
    return (
        f"The p50 of a search that leaves no item out: {'; '.join(texts)}; {where}."
        if texts
        else ""
    )


def memory(inputs: Inputs) -> str:
    """The memory of a process that searches, least and most; "" where none was read."""
    rows, where = _alike(inputs)
    known = [row for row in rows if row.get("pss_bytes")]
    if not known:
        return ""
    low, high = (end(known, key=lambda row: row["pss_bytes"]) for end in (min, max))
    texts = [f"{_name(row)} {megabytes(row['pss_bytes'])} ({_n(row)})" for row in (low, high)]
    return (
        f"A process that searches takes between {texts[0]} and {texts[1]}, proportional set size; "
        f"{where}."
    )


def builds(inputs: Inputs) -> str:
    """How long the longest builds took; "" where none has a time."""
    rows, where = _alike(inputs)
    known = [row for row in rows if row.get("build_s")]
    longest = _least(known, by=_name, of=lambda row: -float(row["build_s"]), most=2)
    texts = [f"{_name(row)} {number(row['build_s'])} s" for row in longest]
    if not texts:
        return ""
    built = len({_name(row) for row in known})
    return (
        f"Of {count(built)} builds {' and '.join(texts)} took the longest, with "
        f"{count(longest[0].get('build_threads'))} threads; {where}."
    )


def _alike(inputs: Inputs) -> tuple[list[Row], str]:
    """Rows of the largest catalogue, the smallest batch and fewest threads, and what they share."""
    for one in inputs.of("index"):
        rows = [row for row in one.found["rows"] if row["p50_ms"]]
        if not rows:
            continue
        items = max(row["items"] for row in rows)
        large = [row for row in rows if row["items"] == items]
        batch, threads = min((row["batch"], row["threads"]) for row in large)
        alike = [row for row in large if (row["batch"], row["threads"]) == (batch, threads)]
        return alike, (
            f"{count(items)} items, best {alike[0]['k']}, batch {batch}, {threads} "
            f"thread{'s' if threads > 1 else ''}; on {hardware(one.document)}"
        )
    return [], ""


def _least(
    rows: Sequence[Row],
    *,
    by: Callable[[Row], str],
    of: Callable[[Row], float],
    most: int = _NAMED,
) -> list[Row]:
    """The row with the least of each group, least first."""
    best: dict[str, Row] = {}
    for row in rows:
        if by(row) not in best or of(row) < of(best[by(row)]):
            best[by(row)] = row
    return sorted(best.values(), key=of)[:most]


def _p50(row: Row) -> float:
    return float(row["p50_ms"]["value"])


def _name(row: Row) -> str:
    return ENGINES[row["engine"]].words


def _n(row: Row) -> str:
    return f"n{NBSP}={NBSP}{count(row['n'])}"
