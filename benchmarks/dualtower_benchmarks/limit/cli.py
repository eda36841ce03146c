"""`dualtower bench limit`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["limit"]

_QUICK = ("limit.votes=1", "limit.probe_s=2.0", "limit.resolution=0.15")
_MODELS = ("recommender", "item_tower", "user_tower")


@click.command(epilog="Example: dualtower bench limit bundle --slo-ms 50 --model item_tower")
@runs_scenario(out="limit.json", tables=("limit",))
@click.option("--slo-ms", type=float, help="What the percentile may take [default: 50].")
@click.option("--percentile", type=float, help="Of the SLO, a share [default: 0.99].")
@click.option(
    "--max-errors", type=float, help="Share of requests that may fail or be skipped [default: 0]."
)
@click.option(
    "--driver",
    "drivers",
    multiple=True,
    metavar="NAME",
    help="What is loaded; may be repeated [default: grpc].",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice(_MODELS),
    help="May be repeated [default: item_tower and recommender].",
)
@click.option(
    "--batch", "batches", multiple=True, type=int, help="Rows of a request; may be repeated."
)
@click.option("--engine", help="Of the server that is started: auto, binary, docker, embedded.")
@click.option("--repeats", type=int, help="Of the whole search; their spread is the noise.")
@click.option("--quick", is_flag=True, help="One probe of 2 s a rate, and a wider interval.")
def limit(
    slo_ms: float | None,
    percentile: float | None,
    max_errors: float | None,
    drivers: Sequence[str],
    models: Sequence[str],
    batches: Sequence[int],
    engine: str | None,
    repeats: int | None,
    quick: bool,
    overrides: Sequence[str],
) -> Scenario:
    """Search the highest rate at which a bundle keeps an SLO.

    Open loops at rising rates, doubled and then halved in, each rate by a majority of its probes.
    A probe breaks where the percentile is above the SLO, too many requests failed or were skipped,
    or the queue grew; where the generator lagged it says nothing. Exit 0 also where no rate holds.
    The requests of all probes go to a .limits.parquet beside the results.
    """
    asked = {
        "limit.slo_ms": slo_ms,
        "limit.slo_percentile": percentile,
        "limit.max_error_share": max_errors,
        "limit.driver": json.dumps(list(drivers)) if drivers else None,
        "limit.model": json.dumps(list(models)) if models else None,
        "limit.batch_rows": json.dumps(list(batches)) if batches else None,
        "limit.engine": engine,
        "scenario.repeats": repeats,
    }
    settings = [f"{key}={value}" for key, value in asked.items() if value is not None]
    from dualtower_benchmarks.scenario.scenario import read_scenario

    return read_scenario("limit", overrides=[*(_QUICK if quick else ()), *settings, *overrides])
