"""Searches for a limit as a table, with what is to be known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import count, number
from dualtower_benchmarks.scenario.blocks import Block
from dualtower_benchmarks.scenario.subject import what

__all__ = [
    "contradiction_words",
    "limit_blocks",
    "remarks",
    "slo_words",
    "why_words",
]

_HEAD = ("limit of", "batch", "SLO", "repeat", "limit/s", "to/s", "ended by", "probes", "requests")
_LEFT = (0, 2, 6)
_WHY = {
    "latency": "latency",
    "errors": "failed requests",
    "skipped": "skipped requests",
    "growth": "a queue that grew",
    "generator": "the generator, not the server",
    "nothing broke": "high_qps, where nothing broke",
    "too few probes": "most_probes",
}


def limit_blocks(found: Mapping[str, Any]) -> list[Block]:
    """A line a search, the spread of the repeats, and what is to be known of them."""
    rows = found["rows"]
    lines: list[str] = []
    for one in found["summary"]:
        if one["repeats"] > 1 and one["limit_qps"]:
            row = next(row for row in rows if row["key"] == one["key"])
            spread = one["limit_qps"]
            lines.append(
                f"{what(row)}, {slo_words(row)}: {number(spread['value'])}/s, "
                f"{number(spread['low'])} to {number(spread['high'])} in {one['repeats']} repeats"
            )
        of_case = [row for row in rows if row["key"] == one["key"]]
        if words := contradiction_words(of_case):
            lines.append(f"{what(of_case[0])}: {words}")
    for row in rows:
        lines += [f"{what(row)}, repeat {row['repeat']}: {said}" for said in remarks(row)]
    lines += [f"absent: {what(case)}, {case['reason']}" for case in found["absent"]]
    return [Block("", _HEAD, list(map(_cells, rows)), _LEFT, lines)]


def remarks(row: Mapping[str, Any]) -> list[str]:
    """What a limit alone does not say."""
    said = []
    if row["limit_qps"] is None:
        said.append("no rate held" + (f" down to {number(row['lowest_qps'])}/s" * row["complete"]))
    elif not row["confirmed"]:
        said.append("the limit was not confirmed: no further probe of it held")
    if not row["complete"]:
        said.append("most_probes ended the search before its interval was narrow")
    void = sum(probe["verdict"] == "void" for probe in row["probes"])
    if void:
        said.append(f"void and not counted: {void} of {len(row['probes'])} probes")
    return said


def contradiction_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether probes of one case contradict each other, over its repeats; "" if none do."""
    found = [row for row in rows if row["contradictions"]]
    if not found:
        return ""
    lowest = min(broke for row in found for broke, _ in row["contradictions"])
    highest = max(held for row in found for _, held in row["contradictions"])
    return (
        f"in {len(found)} of {len(rows)} repeats a probe broke below one that held "
        f"({number(lowest)}/s and {number(highest)}/s at the most); a rate goes by its majority, "
        "and the lowest that broke counts"
    )


def slo_words(row: Mapping[str, Any]) -> str:
    """Such as "p99 ≤ 50 ms, errors ≤ 0 %"."""
    return (
        f"p{100 * row['slo_percentile']:g} ≤ {row['slo_ms']:g} ms, "
        f"errors ≤ {100 * row['max_error_share']:g} %"
    )


def why_words(row: Mapping[str, Any]) -> str:
    """What ends the interval above the limit."""
    return _WHY[row["why"]]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    ends = [end for end in (row["broke_qps"], row["void_qps"]) if end is not None]
    return (
        what(row),
        str(row["batch_rows"]),
        slo_words(row),
        str(row["repeat"]),
        number(row["limit_qps"]),
        number(min(ends, default=None)),
        why_words(row),
        count(len(row["probes"])),
        count(sum(probe["n"] for probe in row["probes"])),
    )
