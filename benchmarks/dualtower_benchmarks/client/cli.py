"""`dualtower bench clients`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["clients"]

_QUICK = ("client.rounds=3", "client.calls=8", "client.starts=2")


@click.command(epilog="Example: dualtower bench clients --set client.rounds=20")
@runs_scenario(out="clients.json", tables=("client",), served=False, bundle="none")
@click.option("--quick", is_flag=True, help="3 turns of 8 calls, 2 starts: about half a minute.")
def clients(quick: bool, overrides: Sequence[str]) -> Scenario:
    """The client beside the official way: codec, import, memory, size on the disk.

    It is the scenario `clients`. TensorFlow's own functions and its serving API have to be
    installed. The codec takes turns with them in one process, imports are those of fresh
    interpreters. What hedging does is part of `dualtower bench faults`.
    """
    from dualtower_benchmarks.scenario.scenario import read_scenario

    return read_scenario("clients", overrides=[*(_QUICK if quick else ()), *overrides])
