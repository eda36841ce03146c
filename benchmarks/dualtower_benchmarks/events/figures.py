"""Of life events: what each kind is measured for.

Times between two events come once a change or a start; their range counts where there are enough.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dualtower_benchmarks.scenario.figures import FAILED, HIGHER, SHARE, Figure, PartRow, figure

__all__ = ["event_figures"]

_PARTS = ("before", "during", "after")
_LEAST_S = 0.5  # of times that are looked for in steps of a tenth of a second
_CHANGE = ("until_noticed_s", "until_available_s", "until_last_old_s")
_START = ("port_s", "available_s", "answer_s")


def event_figures(found: Mapping[str, Any]) -> list[PartRow]:
    """A row an attempt at an event."""
    return [
        PartRow(row["key"], _words(row), row, _FIGURES[row["kind"]](row[row["kind"]]), row["void"])
        for row in found["rows"]
    ]


def _words(row: Mapping[str, Any]) -> str:
    batching = f", batching {row['batching']}" if row["batching"] != "bundle" else ""
    return f"{row['kind'].replace('_', ' ')}: {row['model']}, batch {row['batch_rows']}{batching}"


def _part(name: str, part: Mapping[str, Any]) -> list[Figure]:
    """Of requests within some seconds; none where the generator lagged in them."""
    if part["void"]:
        return []
    n, failed = part["n"], sum(part["failed"].values()) + part["skipped"]
    share = failed / (n + failed) if n + failed else None
    return [
        *figure(f"{name}_p50_ms", "ms", part["p50_ms"], n=n),
        *figure(f"{name}_p99_ms", "ms", part["p99_ms"], n=n),
        *figure(f"{name}_failed_share", "share", share, n=n + failed, least=FAILED),
    ]


def _parts(result: Mapping[str, Any]) -> list[Figure]:
    return [one for name in _PARTS for one in _part(name, result[name])]


def _turns(name: str, unit: str, values: Sequence[float | None]) -> list[Figure]:
    there = [value for value in values if value is not None]
    if not there:
        return []
    span = {"value": statistics.median(there), "low": min(there), "high": max(there)}
    return figure(name, unit, span, turns=len(there))


def _swap(result: Mapping[str, Any]) -> list[Figure]:
    changes = result["changes"]
    times = [one for name in _CHANGE for one in _turns(name, "s", [c[name] for c in changes])]
    return [*_parts(result), *times]


def _cold_start(result: Mapping[str, Any]) -> list[Figure]:
    starts = result["starts"]
    return [one for name in _START for one in _turns(name, "s", [start[name] for start in starts])]


def _first_request(result: Mapping[str, Any]) -> list[Figure]:
    found = []
    for one in result["variants"]:
        name = f"{'with' if one['warmup_file'] else 'without'}_warmup"
        found += _turns(f"{name}_first_ms", "ms", [turn[0] for turn in one["first_ms"]])
        found += figure(f"{name}_steady_p50_ms", "ms", one["steady_p50_ms"], n=one["steady_n"])
    return found


def _replica_lost(result: Mapping[str, Any]) -> list[Figure]:
    names = ("until_last_failed_s", "until_good_s")
    return [
        *_parts(result),
        *(one for name in names for one in figure(name, "s", result[name], least=_LEAST_S)),
        *figure("until_ready_s", "s", result["until_ready_s"]),
        *figure("until_takes_load_s", "s", result["until_takes_load_s"]),
    ]


def _overload(result: Mapping[str, Any]) -> list[Figure]:
    share, last = result["goodput_share"], result["steps"][-1]
    rate = None if last["void"] else last["goodput_qps"]
    back = result["recovery"]
    until_s = back["seconds"] if back["until_good_s"] is None else back["until_good_s"]  # at least
    return [
        *figure("goodput_share", "share", share, better=HIGHER, n=last["due"], least=SHARE),
        *figure("best_goodput_qps", "/s", result["best_goodput_qps"], better=HIGHER),
        *figure("last_goodput_qps", "/s", rate, better=HIGHER, n=last["due"]),
        *figure("until_good_s", "s", until_s, least=_LEAST_S),
    ]


def _soak(result: Mapping[str, Any]) -> list[Figure]:
    found = _part("whole", result["whole"])
    for name, unit in (("memory_growth", "MB"), ("p99_growth", "ms")):
        grown = result[name]
        found += figure(name, unit, grown, least=grown["floor"]) if grown else []
    return found


_FIGURES: Mapping[str, Callable[[Mapping[str, Any]], list[Figure]]] = {
    "swap": _swap,
    "cold_start": _cold_start,
    "first_request": _first_request,
    "replica_lost": _replica_lost,
    "overload": _overload,
    "soak": _soak,
}
