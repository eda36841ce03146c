"""A run of LoadGen as a row of the results. A run that is not valid has no result, only reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.mlperf.case import MlperfCase
from dualtower_benchmarks.mlperf.logs import Outcome
from dualtower_benchmarks.scenario.jobs import SERVED

__all__ = ["row_of"]


def row_of(
    case: MlperfCase,
    outcome: Outcome,
    ran: Mapping[str, Any],
    *,
    repeat: int,
    engine: str,
    log_folder: str,
) -> dict[str, Any]:
    """Joins what was asked, LoadGen's outcome, and what only we know.

    Args:
        ran: what `start.run_loadgen` gave back.
        log_folder: of LoadGen's files, from the results file.
    """
    failed: Mapping[str, int] = ran["failed"]
    reasons = list(outcome.reasons)
    if failed:
        total = sum(failed.values()) + ran["answered"]
        names = ", ".join(f"{name} {n}" for name, n in sorted(failed.items()))
        reasons.append(f"{sum(failed.values())} of {total} requests failed ({names})")
    valid = outcome.valid and not failed
    facts = ran["facts"]
    return {
        "key": case.key,
        "repeat": repeat,
        **case.as_json(),
        "engine": engine if case.driver in SERVED else "",
        "device_found": facts.get("device", "unknown"),
        "device_name": facts.get("device_name"),
        "valid": valid,
        "reasons": reasons,
        "result_name": outcome.result_name,
        "result": outcome.result if valid else None,
        "result_if_valid": outcome.result,
        **outcome.percentiles_ms,
        "queries": outcome.queries,
        "samples_a_query": outcome.samples_per_query,
        "over_latency_queries": outcome.over_latency_queries,
        "rates": outcome.rates,
        "offered_qps": ran["target_qps"],
        "calibrated_qps": ran["calibrated_qps"],
        "failed": dict(failed),
        "generator_scheduling": ran["scheduling"],
        "seeds": outcome.seeds,
        "loadgen_version": outcome.version,
        "log_folder": log_folder,
        "facts": dict(facts),
    }
