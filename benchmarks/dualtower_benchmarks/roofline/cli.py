"""`dualtower bench roofline`."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["roofline"]


@click.command(epilog="Example: dualtower bench roofline bundle --results server-quick.json")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False))
@click.option("--batches", default="1,16", show_default=True, metavar="ROWS,…", help="Of a call.")
@click.option(
    "--threads", metavar="N,…", help="Of the peaks [default: 1 and all cores that are usable]."
)
@click.option("--turns", type=click.IntRange(1), default=9, show_default=True, help="Of a peak.")
@click.option(
    "--measured-s", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Of a point."
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Results of `bench run` on this bundle and machine: their points get the keys, in place.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def roofline(
    bundle: Path,
    batches: str,
    threads: str | None,
    turns: int,
    measured_s: float,
    results: Path | None,
    as_json: bool,
) -> None:
    """How near a model comes to what the machine can do.

    FLOPs and bytes of a query are counted from a run of the graph; the peaks of matrix products and
    memory are measured on this machine, in processes of their own.
    """
    from dualtower.bundle import Bundle
    from dualtower.errors import UsageError
    from dualtower.tables import show
    from dualtower_benchmarks.machine import usable_cores
    from dualtower_benchmarks.roofline.bundle import add_to_results, roofline_of_bundle
    from dualtower_benchmarks.roofline.peaks import PeakSettings
    from dualtower_benchmarks.roofline.table import roofline_tables

    try:
        rows = [int(number) for number in batches.split(",")]
        if min(rows) < 1:
            raise ValueError(f"a batch has 1 row or more, got {min(rows)}")
        numbers = threads.split(",") if threads else sorted({1, usable_cores() or 1})
        settings = PeakSettings(tuple(int(number) for number in numbers), turns=turns)
    except ValueError as error:
        raise UsageError(
            f"--batches {batches} --threads {threads} --turns {turns}: {error}"
        ) from error
    if results is not None:
        document = add_to_results(results, Bundle.open(bundle), settings)
        if as_json:
            click.echo(json.dumps(document["roofline"], ensure_ascii=False))
        else:
            counted = sum(row["flops_per_row"] is not None for row in document["points"])
            click.echo(f"{results}: {counted} of {len(document['points'])} points were counted")
        return
    document = roofline_of_bundle(bundle, batches=rows, settings=settings, measured_s=measured_s)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(roofline_tables(document))
