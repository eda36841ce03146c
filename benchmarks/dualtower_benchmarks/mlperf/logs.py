"""What LoadGen wrote about a run: its verdict, its figures, and in a trace every query.

    mlperf_log_detail.txt     a line of JSON behind ":::MLLOG" for each fact: read here
    mlperf_log_summary.txt    the same for people
    mlperf_log_trace.json     each query, where the run was traced

Nothing is computed: percentiles are LoadGen's, its rank of a percentile with them. Where a run has
too few queries for one by `stats.percentiles.minimum_samples` it is left out, though LoadGen prints
it. Offline's are left out, too: all of its samples are due at one instant, and nobody waits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import UnavailableError
from dualtower_benchmarks.load.samples import OK, Samples
from dualtower_benchmarks.mlperf.case import MULTI_STREAM, OFFLINE, SERVER, SINGLE_STREAM
from dualtower_benchmarks.stats.percentiles import minimum_samples

__all__ = ["DETAIL", "SUMMARY", "TRACE", "Outcome", "read_outcome", "read_trace"]

SUMMARY, DETAIL = "mlperf_log_summary.txt", "mlperf_log_detail.txt"
TRACE = "mlperf_log_trace.json"
_MARK = ":::MLLOG "
_PERCENTILES = {
    "p50_ms": "50.00",
    "p90_ms": "90.00",
    "p95_ms": "95.00",
    "p97_ms": "97.00",
    "p99_ms": "99.00",
    "p99_9_ms": "99.90",
}
# what a scenario is judged by: its name, LoadGen's key, and nanoseconds or not
_RESULT = {
    SINGLE_STREAM: ("p90_ms", "result_90.00_percentile_latency_ns", 1e6),
    MULTI_STREAM: ("p99_ms", "result_99.00_percentile_per_query_latency_ns", 1e6),
    SERVER: ("completed_samples_per_s", "result_completed_samples_per_sec", 1.0),
    OFFLINE: ("samples_per_s", "result_samples_per_second", 1.0),
}


@dataclass(frozen=True)
class Outcome:
    """One run of LoadGen, in its own figures.

    Args:
        valid: its verdict.
        reasons: why not, a sentence each; empty where it is valid.
        queries: how many were answered; `samples_per_query` samples each.
        percentiles_ms: of a query's latency (from the scheduled instant in Server), None where
            they are too few for it.
        result_name, result: what the scenario is judged by, valid or not.
        rates: what LoadGen says of queries and samples a second, by its own names.
        seeds: of its generators, by name.
    """

    scenario: str
    version: str
    valid: bool
    reasons: tuple[str, ...]
    queries: int
    samples_per_query: int
    percentiles_ms: dict[str, float | None]
    result_name: str
    result: float
    rates: dict[str, float]
    over_latency_queries: int | None
    seeds: dict[str, int]


def read_outcome(folder: Path) -> Outcome:
    """The outcome of the run that left its logs in `folder`.

    Raises:
        UnavailableError: there is no log, or LoadGen was stopped before its verdict.
    """
    facts, errors = _facts(folder / DETAIL)
    try:
        scenario = facts["effective_scenario"]
        name, key, unit = _RESULT[scenario]
        queries = int(facts["result_query_count"])
        reasons = _reasons(facts, errors)
        valid = facts["result_validity"] == "VALID" and not errors
        return Outcome(
            scenario=scenario,
            version=facts["loadgen_version"],
            valid=valid,
            reasons=() if valid else reasons or ("LoadGen gives no reason",),
            queries=queries,
            samples_per_query=int(facts["effective_samples_per_query"]),
            percentiles_ms=_percentiles(facts, scenario, queries),
            result_name=name,
            result=float(facts[key]) / unit,
            rates={
                k.removeprefix("result_"): float(value)
                for k, value in facts.items()
                if k.startswith("result_") and ("_per_sec" in k or "_qps_" in k)
            },
            over_latency_queries=facts.get("result_overlatency_query_count"),
            seeds={
                name: int(facts[f"effective_{name}_rng_seed"])
                for name in ("qsl", "sample_index", "schedule")
            },
        )
    except KeyError as error:
        raise UnavailableError(
            f"{folder / DETAIL} has no {error}: LoadGen was stopped before its verdict, or it is "
            f"of another version; look at {folder / SUMMARY}"
        ) from error


def read_trace(folder: Path) -> Samples:
    """Every query of a traced run of one sample a query; instants from the start of the trace.

    Raises:
        UnavailableError: the run was not traced.
    """
    due, sent, done = [], [], []
    path = folder / TRACE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read ({error.strerror})") from error
    for line in lines:
        if '"name":"Sample"' not in line or '"ph":"b"' not in line:
            continue
        event = json.loads(line.rstrip(","))
        due_ns = round(event["ts"] * 1e3)  # microseconds with three digits behind the point
        due.append(due_ns)
        sent.append(due_ns + event["args"]["issue_start_ns"])
        done.append(due_ns + event["args"]["complete_ns"])
    if not due:
        raise UnavailableError(f"{path} holds no query; trace the run")
    due_ns, sent_ns, done_ns = (np.array(column, dtype=np.int64) for column in (due, sent, done))
    return Samples(due_ns, sent_ns, done_ns, np.full(len(due), OK))


def _facts(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The last value of every key, and what was marked as an error."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UnavailableError(
            f"LoadGen left no log at {path} ({error.strerror}); look at what the run wrote"
        ) from error
    facts: dict[str, Any] = {}
    errors: list[str] = []
    for line in lines:
        if not line.startswith(_MARK):
            continue
        try:
            entry = json.loads(line.removeprefix(_MARK))
        except ValueError:
            continue  # a line that was cut off: what it would have said is missed by its key
        facts[entry["key"]] = entry["value"]
        if entry.get("metadata", {}).get("is_error"):
            errors.append(f"{entry['key']}: {entry['value']}")
    return facts, errors


def _percentiles(facts: Mapping[str, Any], scenario: str, queries: int) -> dict[str, float | None]:
    of_what = "per_query_latency" if scenario == MULTI_STREAM else "latency"
    return {
        name: float(facts[f"result_{percent}_percentile_{of_what}_ns"]) / 1e6
        if scenario != OFFLINE and queries >= minimum_samples(float(percent) / 100)
        else None
        for name, percent in _PERCENTILES.items()
    }


def _reasons(facts: Mapping[str, Any], errors: list[str]) -> tuple[str, ...]:
    found = list(errors)
    if facts.get("result_perf_constraints_met") is False:
        found.append(
            f"{facts['result_overlatency_query_count']} of {facts['result_query_count']} queries "
            f"took longer than {float(facts['effective_target_latency_ns']) / 1e6:g} ms, more than "
            f"percentile {facts['effective_target_latency_percentile']} permits"
        )
    if facts.get("result_min_duration_met") is False:
        found.append(f"it was shorter than {facts['effective_min_duration_ms'] / 1e3:g} s")
    if facts.get("result_min_queries_met") is False:
        found.append(f"it had fewer than {facts['effective_min_query_count']} queries")
    if facts.get("early_stopping_met") is False:
        found.append("early stopping: " + _one_line(facts.get("early_stopping_result", "")))
    if advice := _one_line(facts.get("result_invalid_reason", "")):
        found.append(advice)
    return tuple(found)


def _one_line(text: str) -> str:
    return " ".join(text.replace("*", " ").split())
