"""`dualtower bench all`, `server`, `in-process`, `edge`: scenario quick-look, or a part of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["COMMANDS", "NAME", "glance"]

NAME = "quick-look"
_QUICK = click.option("--quick", is_flag=True, help="Corners of the sweeps, half a second a point.")


@click.command("all", epilog="Example: dualtower bench all bundle --quick --out bench.json")
@runs_scenario(out="bench.json")
@_QUICK
def everything(quick: bool, overrides: Sequence[str]) -> Scenario:
    """Server, SavedModel in process and edge files at a glance: scenario quick-look."""
    return glance(quick=quick, overrides=overrides)


@click.command(epilog="Example: dualtower bench server bundle --address localhost:8500")
@runs_scenario(out="bench.json")
@_QUICK
def server(quick: bool, overrides: Sequence[str]) -> Scenario:
    """Batch × clients in closed loops, then Poisson arrivals at half of what they reached."""
    return glance("grpc", quick=quick, overrides=overrides)


@click.command("in-process", epilog="Example: dualtower bench in-process bundle --quick")
@runs_scenario(out="bench.json", served=False)
@_QUICK
def in_process(quick: bool, overrides: Sequence[str]) -> Scenario:
    """The item tower without a server, on the CPU and on a GPU where there is one."""
    return glance("saved_model", quick=quick, overrides=overrides)


@click.command(epilog="Example: dualtower bench edge bundle --set sweep.threads=[1,4]")
@runs_scenario(out="bench.json", served=False)
@_QUICK
def edge(quick: bool, overrides: Sequence[str]) -> Scenario:
    """Every TFLite variant of both towers that ships, run by LiteRT on this machine."""
    return glance("litert", quick=quick, overrides=overrides)


COMMANDS = (everything, server, in_process, edge)


def glance(driver: str = "", *, quick: bool = False, overrides: Sequence[str] = ()) -> Scenario:
    """Scenario quick-look.

    Args:
        driver: leaves out what another one measures; "" keeps all.
        quick, overrides: see `read_scenario`.
    """
    from dualtower_benchmarks.scenario.scenario import read_scenario

    found = read_scenario(NAME, overrides=overrides, quick=quick)
    cases = tuple(case for case in found.cases if driver in ("", case.driver))
    return dataclasses.replace(found, cases=cases)
