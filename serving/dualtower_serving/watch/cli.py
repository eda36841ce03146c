"""`dualtower status`: one look at one server."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from dualtower.bundle import MODELS
from dualtower.errors import UsageError
from dualtower.tables import Table, show
from dualtower_clients.connection_options import settings_options
from dualtower_clients.settings import ChannelSettings
from dualtower_serving.rollout.replica import Replica
from dualtower_serving.rollout.state import CANARY, STABLE
from dualtower_serving.watch.snapshot import Snapshot, Way, take
from dualtower_serving.watch.traffic import ModelTraffic, watch

__all__ = ["status"]

_TRAFFIC = ("model", "calls/s", "errors/s", "p50 ms", "p95 ms", "p99 ms", "calls", "errors", "")


@click.command()
@click.argument("address", required=False)
@click.option(
    "--address",
    "address_option",
    metavar="HOST:PORT",
    help="The same as ADDRESS, as other commands take it.  [default: localhost:8500]",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME",
    help="A further label to ask for; a server cannot list its own.",
)
@click.option(
    "--metrics",
    metavar="URL",
    help="The server's Prometheus metrics: http://HOST:8501/monitoring/prometheus/metrics",
)
@click.option(
    "--over-s",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Rates and latencies are those of so many seconds.",
)
@click.option(
    "--timeout-s",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Deadline of a single call.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
@settings_options
def status(
    address: str | None,
    address_option: str | None,
    labels: Sequence[str],
    metrics: str | None,
    over_s: float,
    timeout_s: float,
    as_json: bool,
    settings: ChannelSettings,
) -> None:
    """Show the models, versions, labels and fingerprints of the server at ADDRESS.

    Exit 1 when what answers is no pair (under a label, or to those who ask without one), or when a
    model has no version that is AVAILABLE.

    \b
    Example:
      dualtower status
      dualtower status localhost:8500
      dualtower status localhost:8500 --metrics http://localhost:8501/monitoring/prometheus/metrics
    """
    if address is not None and address_option is not None:
        raise UsageError(f"give {address} or --address {address_option}, not both")
    where = address or address_option or "localhost:8500"
    with Replica(where, timeout_s=timeout_s, settings=settings) as replica:
        found = take(replica, [STABLE, CANARY, *labels])
    traffic = None if metrics is None else watch(metrics, over_s=over_s, timeout_s=timeout_s)
    if as_json:
        click.echo(json.dumps(_as_json(found, traffic), indent=2))
    else:
        show(_tables(found, traffic, over_s))
        for problem in found.problems:
            click.echo(f"PROBLEM: {problem}")
        if not found.problems:
            click.echo("one pair under each label, and without one")
    if found.problems:
        sys.exit(1)


def _as_json(found: Snapshot, traffic: Sequence[ModelTraffic] | None) -> dict[str, Any]:
    return {
        "address": found.address,
        "models": {
            model: [
                {
                    **vars(one),
                    "fingerprint": found.fingerprints[model].get(one.version),
                }
                for one in states
            ]
            for model, states in found.states.items()
        },
        "asked": [
            {
                "label": way.label,
                "answers": {
                    model: None if one is None else vars(one) for model, one in way.answers.items()
                },
                "is_pair": not way.why_not,
                "why_not": way.why_not,
            }
            for way in found.ways
        ],
        "traffic": None if traffic is None else [vars(one) for one in traffic],
        "problems": list(found.problems),
    }


def _tables(found: Snapshot, traffic: Sequence[ModelTraffic] | None, over_s: float) -> list[Table]:
    versions = [
        (
            model if place == 0 else "",
            str(one.version),
            one.state,
            found.fingerprints[model].get(one.version, "")[:12],
            "" if one.error_code == "OK" else f"{one.error_code} {one.error_message}"[:60],
        )
        for model, states in found.states.items()
        for place, one in enumerate(states)
    ]
    tables = [
        Table(found.address, versions, ("model", "version", "state", "fingerprint", "")),
        Table(
            "Asked with",
            [(way.name, *(_cell(way, model) for model in MODELS), way.why_not or "one pair")
             for way in found.ways],
            ("label", *MODELS, ""),
        ),
    ]  # fmt: skip
    if traffic is not None:
        rows = [
            (one.model, _number(one.rate_qps), _number(one.errors_qps), _number(one.p50_ms),
             _number(one.p95_ms), _number(one.p99_ms), str(one.requests), str(one.errors),
             "latency since start" if one.since_start else "")
            for one in traffic
        ]  # fmt: skip
        tables.append(Table(f"Traffic over {over_s:g} s", rows, _TRAFFIC))
    return tables


def _cell(way: Way, model: str) -> str:
    one = way.answers[model]
    if one is None:
        return "none"
    return f"{one.version} not loaded" if one.is_dead else str(one.version)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
