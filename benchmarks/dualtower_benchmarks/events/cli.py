"""`dualtower bench events`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower.config import parse_override
from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["events"]

_KINDS = ("swap", "cold_start", "first_request", "replica_lost", "overload", "soak")


@click.command(epilog="Example: dualtower bench events bundle --kind swap --kind overload")
@runs_scenario(out="events.json", tables=("event",))
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    help="Which event; may be repeated [default: all but soak].",
)
@click.option("--quick", is_flag=True, help="Short loads, and a start or two of each kind.")
def events(kinds: Sequence[str], quick: bool, overrides: Sequence[str]) -> Scenario:
    """Measure what happens in a server's life: swap, start, lost replica, overload, soak.

    Each event has servers of its own. Latency counts from the instant a request was due; what
    failed, was rejected or skipped is counted by name. Requests go to a .events.parquet beside the
    results.
    """
    from dualtower_benchmarks.events.read import events_scenario

    changed = [parse_override(one) for one in overrides if one.startswith("event.")]
    rest = [one for one in overrides if not one.startswith("event.")]
    return events_scenario(kinds, quick=quick, changed=changed, overrides=rest)
