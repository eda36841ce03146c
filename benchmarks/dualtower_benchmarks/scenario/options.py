"""What every command takes that runs a scenario, and what it does with it.

A command is a function from its own options to a scenario:

    @click.command(epilog="Example: dualtower bench swap bundle")
    @runs_scenario(out="swap.json", tables=("events",))
    @click.option("--quick", is_flag=True)
    def swap(quick: bool, overrides: Sequence[str]) -> Scenario:
        return read_scenario("swap", overrides=overrides)
"""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dualtower.command_options import with_options

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["run_and_print", "runs_scenario"]

_ADDRESSES = (
    click.option("--address", metavar="HOST:PORT", help="gRPC of a running server of this bundle."),
    click.option("--rest-address", metavar="HOST:PORT", help="REST of the same."),
)


def runs_scenario(
    *,
    out: str = "",
    tables: Sequence[str] = ("sweep",),
    served: bool = True,
    bundle: Literal["needed", "optional", "none"] = "needed",
) -> Callable[[Callable[..., Scenario]], Callable[..., None]]:
    """Makes a command that runs the scenario which the decorated function returns.

    BUNDLE, --out, --address, --rest-address, --set, --dry-run and --json are the same everywhere;
    the function gets `overrides`, which is of --set, and its own options and arguments. Arguments
    of its own stand before BUNDLE.

    Args:
        out: the results file where none is given; "" takes the scenario's name.
        tables: of the scenario, beside [scenario], that --set may change.
        served: whether a server can be part of it.
        bundle: whether the command has the argument BUNDLE, and can go without.
    """
    folder = click.Path(path_type=Path, file_okay=False)
    options = (
        *(
            (click.argument("bundle", type=folder, required=bundle == "needed"),)
            if bundle != "none"
            else ()
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path, dir_okay=False),
            help=f"Results [default: {out or 'SCENARIO.json'}]; raw samples go to a "
            ".samples.parquet beside it.",
        ),
        *(_ADDRESSES if served else ()),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar=", ".join(f"{name}.KEY=VALUE" for name in ("scenario", *tables)),
            help="Override a setting, or a key of every table; may be repeated.",
        ),
        click.option(
            "--dry-run", is_flag=True, help="Print the points and how long they take at least."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the results file instead."),
    )
    default = out

    def decorate(scenario_of: Callable[..., Scenario]) -> Callable[..., None]:
        @functools.wraps(scenario_of)  # its own options, too
        def command(
            out: Path | None,
            dry_run: bool,
            as_json: bool,
            bundle: Path | None = None,
            address: str | None = None,
            rest_address: str | None = None,
            **own: Any,
        ) -> None:
            asked = scenario_of(**own)
            run_and_print(
                asked,
                bundle,
                out=out or Path(default or f"{asked.name}.json"),
                address=address,
                rest_address=rest_address,
                dry_run=dry_run,
                as_json=as_json,
            )

        return with_options(*options)(command)

    return decorate


def run_and_print(
    scenario: Scenario,
    bundle: Path | None,
    *,
    out: Path,
    address: str | None = None,
    rest_address: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Runs a scenario; its results go to `out` and, as a table or as JSON, to stdout.

    Args:
        dry_run: prints what would be measured, and runs nothing.
    """
    from dualtower_benchmarks.scenario.table import plan_text, results_text

    if dry_run:
        plan = scenario.as_json()
        click.echo(json.dumps(plan, ensure_ascii=False) if as_json else plan_text(scenario))
        return
    from dualtower_benchmarks.scenario.run import run_scenario

    document = run_scenario(
        scenario,
        bundle,
        out=out,
        address=address,
        rest_address=rest_address,
        command=shlex.join(["dualtower", *sys.argv[1:]]),
    )
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(results_text(document))
        click.echo(f"\n{out}")
