"""`dualtower bench mlperf` and `dualtower bench agreement`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower.errors import UsageError
from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.mlperf.case import MlperfCase
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["agreement", "mlperf"]

_LEAST_REQUESTS = 20  # of an open run of `agreement`
_SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")
_QUICK = ("mlperf.min_duration_s=1.0", "mlperf.min_queries=700", "mlperf.max_duration_s=4.0")


@click.command(
    epilog="Example: dualtower bench mlperf bundle --scenario Server --driver grpc --qps 200"
)
@runs_scenario(out="mlperf.json", tables=("mlperf",))
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(_SCENARIOS, case_sensitive=False),
    help="Of LoadGen; may be repeated [default: all four].",
)
@click.option(
    "--driver",
    "drivers",
    multiple=True,
    metavar="NAME",
    help="What it drives; may be repeated [default: those of the scenario mlperf].",
)
@click.option("--qps", type=float, help="Rate of Server [default: half of a closed loop's].")
@click.option("--latency-ms", type=float, help="That p99 may take in Server [default: 50].")
@click.option("--samples-per-query", type=int, help="Of MultiStream [default: 8].")
@click.option("--min-duration-s", type=float, help="Of each run.")
@click.option("--min-queries", type=int, help="Of each run.")
@click.option(
    "--accuracy", is_flag=True, help="And hold each driver's embeddings against the SavedModel's."
)
@click.option("--quick", is_flag=True, help="Runs of 1 s to 4 s.")
def mlperf(
    scenarios: Sequence[str],
    drivers: Sequence[str],
    qps: float | None,
    latency_ms: float | None,
    samples_per_query: int | None,
    min_duration_s: float | None,
    min_queries: int | None,
    accuracy: bool,
    quick: bool,
    overrides: Sequence[str],
) -> Scenario:
    """Let MLPerf LoadGen drive a bundle: its four scenarios, its verdict, its logs.

    Not a submission: model, data and limits are ours, and runs are shorter than MLPerf's. A run
    that is not valid is shown with LoadGen's reasons and without a result. LoadGen's logs go to a
    folder .mlperf beside the results.
    """
    asked = {
        "target_qps": qps,
        "target_latency_ms": latency_ms,
        "samples_per_query": samples_per_query,
        "min_duration_s": min_duration_s,
        "min_queries": min_queries,
        "scenario": json.dumps(list(scenarios)) if scenarios else None,
    }
    settings = [f"mlperf.{key}={value}" for key, value in asked.items() if value is not None]
    from dualtower_benchmarks.scenario.scenario import read_scenario

    found = read_scenario("mlperf", overrides=[*(_QUICK if quick else ()), *settings, *overrides])
    cases: tuple[MlperfCase, ...] = found.parts["mlperf"]  # type: ignore[assignment]
    cases = _of(cases, drivers) if drivers else cases
    cases = _with_accuracy(cases) if accuracy else cases
    return dataclasses.replace(found, parts={"mlperf": cases})


def _with_accuracy(cases: Sequence[MlperfCase]) -> tuple[MlperfCase, ...]:
    """The cases, and an accuracy run of each subject."""
    subjects = {case.subject_key: case for case in cases}.values()
    runs = (dataclasses.replace(case, mode="accuracy", scenario="Offline") for case in subjects)
    return (*cases, *runs)


def _of(cases: Sequence[MlperfCase], drivers: Sequence[str]) -> tuple[MlperfCase, ...]:
    """The cases of `drivers`; one that the scenario does not name gets those of the first."""
    known = {case.driver for case in cases}
    first = [case for case in cases if case.driver == cases[0].driver]
    return tuple(
        dataclasses.replace(case, driver=name)
        for name in drivers
        for case in (cases if name in known else first)
        if name not in known or case.driver == name
    )


@click.command(epilog="Example: dualtower bench agreement --seconds 20")
@click.option(
    "--rate",
    type=click.FloatRange(1, 10_000),
    default=200.0,
    show_default=True,
    help="Requests a second.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=20.0,
    show_default=True,
    help="Of each open run.",
)
@click.option(
    "--service-ms",
    type=click.FloatRange(0, 10_000),
    default=2.0,
    show_default=True,
    help="Of a request.",
)
@click.option(
    "--stall-ms",
    type=click.FloatRange(0, 60_000),
    default=500.0,
    show_default=True,
    help="Of a stall.",
)
@click.option(
    "--every", type=click.IntRange(1), default=400, show_default=True, help="Requests to a stall."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of arrivals and intervals.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def agreement(
    rate: float,
    seconds: float,
    service_ms: float,
    stall_ms: float,
    every: int,
    seed: int,
    as_json: bool,
) -> None:
    """Hold our open loop against LoadGen's on a server that stalls, with latencies known."""
    from dualtower_benchmarks.machine import machine_facts
    from dualtower_benchmarks.mlperf.agreement import agreement as measured
    from dualtower_benchmarks.mlperf.agreement import agreement_as_json
    from dualtower_benchmarks.mlperf.stalling import Stalls
    from dualtower_benchmarks.mlperf.table import agreement_text

    if not all(map(math.isfinite, (rate, seconds, service_ms, stall_ms))):
        raise UsageError(
            f"--rate {rate:g} --seconds {seconds:g} --service-ms {service_ms:g} --stall-ms "
            f"{stall_ms:g}: each must be a number; give e.g. --rate 200 --seconds 20"
        )
    if rate * seconds < _LEAST_REQUESTS:
        raise UsageError(
            f"--rate {rate:g} for --seconds {seconds:g} are {rate * seconds:g} requests, too few "
            f"for a percentile; at least {_LEAST_REQUESTS}, e.g. --rate 200 --seconds 20"
        )
    stalls = Stalls(service_s=service_ms / 1e3, stall_s=stall_ms / 1e3, every=every)
    machine, confidence = machine_facts(), 0.95
    found = measured(
        stalls, rate_qps=rate, duration_s=seconds, closed_s=min(seconds, 5.0), seed=seed
    )
    document = {
        "settings": {
            "rate_qps": rate,
            "duration_s": seconds,
            "service_ms": service_ms,
            "stall_ms": stall_ms,
            "every": every,
            "seed": seed,
            "confidence": confidence,
        },
        "machine": machine,
        **agreement_as_json(found, seed=seed, confidence=confidence),
    }
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(agreement_text(document))
