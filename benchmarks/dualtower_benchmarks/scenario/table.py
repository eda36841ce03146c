"""A scenario before its run, and its results, as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.machine import cpu_words
from dualtower_benchmarks.numerals import count, milliseconds, number
from dualtower_benchmarks.pace.summary import pace_words
from dualtower_benchmarks.scenario.blocks import blocks_text
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.columns import aligned
from dualtower_benchmarks.scenario.expected import expected_s
from dualtower_benchmarks.scenario.parts import PARTS
from dualtower_benchmarks.scenario.scenario import Scenario
from dualtower_benchmarks.scenario.subject import device_words, what

__all__ = ["plan_text", "results_text"]

_SHOWN = {"p50 ms": "p50_ms", "p90 ms": "p90_ms", "p99 ms": "p99_ms", "p99.9 ms": "p99_9_ms"}
_HEAD = ("what", "device", "batch", "load", "rows/s", *_SHOWN, "n", "failed")
_LEFT = (0, 1, 3)


def plan_text(scenario: Scenario) -> str:
    """Every case with its load, and how long all of them take at least."""
    lines = aligned(
        [
            ("what", "device", "batch", "load"),
            *((what(case.subject), case.device, str(case.batch_rows), _load(case))
              for case in scenario.cases),
        ],
        left=_LEFT,
    )  # fmt: skip
    repeats = scenario.settings.repeats
    runs = len(scenario.cases) + len(scenario.entries)
    least = (
        f"{runs} points × {repeats}, {scenario.expected_s:.0f} s of load, "
        f"about {expected_s(scenario):.0f} s with starts"
    )
    others = [case.words for case in scenario.entries]
    return "\n".join([*(lines if scenario.cases else []), *others, least])


def results_text(document: Mapping[str, Any]) -> str:
    """All points with their load and count, then what is void or absent; `–`: too few samples."""
    points = document["points"]
    lines = aligned([_HEAD, *map(_cells, points)], left=_LEFT) if points else []
    parts = [part for part in PARTS if part.section in document]
    lines += [blocks_text(part.blocks(document[part.section])) for part in parts]
    voids = [f"void: point {row['point']}, {row['void']}" for row in points if row["void"]]
    absent = dict.fromkeys(f"absent: {what(one)}, {one['reason']}" for one in document["absent"])
    machine = document["machine"]
    where = (
        f"{cpu_words(machine)}, {machine['usable_cores']} cores, "
        f"load before {number(machine['load_average_1_min_before'])}, "
        f"seed {document['scenario']['settings']['seed']}"
    )
    pace = pace_words(document.get("pace"))
    return "\n".join([*lines, *voids, *absent, where, *([pace] if pace else [])])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["loop"] == "open":
        load = f"open {number(row['offered_qps'])}/s"
    else:
        load = f"closed, clients {row['concurrency']}"
    failed = sum(row["errors"].values()) + row["skipped"]
    return (
        what(row),
        device_words(row["device_found"], row["device_name"]),
        str(row["batch_rows"]),
        load,
        number(row["rows_per_s"]),
        *(milliseconds(row[name]) for name in _SHOWN.values()),
        count(row["n"]),
        count(failed),
    )


def _load(case: Case) -> str:
    if case.loop == "closed":
        return f"closed, clients {case.concurrency}"
    if case.rate_share:
        return f"open, {case.rate_share:g} of the closed loop"
    return f"open, {case.rate_qps or 'its trace'}/s"
