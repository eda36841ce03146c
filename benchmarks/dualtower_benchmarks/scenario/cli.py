"""`dualtower bench run` and `dualtower bench scenarios`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["run", "scenarios"]


@click.command(epilog="Example: dualtower bench run server-quick bundle --out server-quick.json")
@click.argument("scenario")
@runs_scenario(tables=("TABLE",), bundle="optional")
def run(scenario: str, overrides: Sequence[str]) -> Scenario:
    """Run a scenario: a shipped one by its name, or a TOML file of sweeps.

    What is measured is BUNDLE, which some scenarios do not need.

    A run that was killed goes on where it was when the same command is given again.
    """
    from dualtower_benchmarks.scenario.scenario import read_scenario

    return read_scenario(scenario, overrides=overrides)


@click.command(epilog="Example: dualtower bench scenarios")
@click.option("--json", "as_json", is_flag=True, help="Print name and text of each as JSON.")
def scenarios(as_json: bool) -> None:
    """List the scenarios that come with the package, for `dualtower bench run`."""
    from dualtower_benchmarks.scenario.scenario import shipped_scenarios
    from dualtower_benchmarks.scenario.shipped import opening_of

    openings = {name: opening_of(name) for name in shipped_scenarios()}
    if as_json:
        click.echo(json.dumps(openings, ensure_ascii=False))
        return
    width = max(map(len, openings))
    for name, text in openings.items():
        click.echo(f"{name.ljust(width)}  {text}")
