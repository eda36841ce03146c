"""`dualtower bench serving`."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["serving"]


@click.command(epilog="Example: dualtower bench serving bundle --engine embedded")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--engine", default="auto", show_default=True, help="Which server, as for `dualtower serve`."
)
@click.option("--clients", type=click.IntRange(1), default=32, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Turns.")
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=3.0, show_default=True, help="Of a turn."
)
@click.option("--flag", "flags", multiple=True, metavar="--NAME=VALUE", help="Of the server.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def serving(
    bundle: Path,
    engine: str,
    clients: int,
    rounds: int,
    seconds: float,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """What a server costs over the same SavedModel in process.

    One client without batching, by the p50 of a text; many clients with batching, by rows a second
    against the best batch size in process. Both sides take turns in one run.
    """
    from dualtower.tables import show
    from dualtower_benchmarks.serving_cost.speed import ServingSpeed, measure_serving
    from dualtower_benchmarks.serving_cost.table import serving_tables

    speed = ServingSpeed(
        engine=engine, clients=clients, rounds=rounds, seconds=seconds, flags=flags
    )
    document = measure_serving(bundle, speed)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(serving_tables(document))
