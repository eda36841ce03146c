"""`dualtower bench compare`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["compare"]

_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9", "p99.99")
_ACROSS = ("machine", "bundle", "device", "engine")


@click.command(epilog="Example: dualtower bench compare main.json branch.json --markdown")
@click.argument("a", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("b", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--percentile",
    "percentiles",
    type=click.Choice(_PERCENTILES),
    multiple=True,
    default=("p99",),
    show_default=True,
    help="Judge by this one; may be repeated.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 10),
    default=0.05,
    show_default=True,
    help="A share of change that is of no interest.",
)
@click.option(
    "--across",
    type=click.Choice(_ACROSS),
    multiple=True,
    help="Compare although this differs; may be repeated.",
)
@click.option(
    "--baseline",
    "baselines",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="An earlier run of the same as A, or a folder of such: what they differ by is noise, too; "
    "may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--markdown", is_flag=True, help="Print it as Markdown, for a pull request.")
def compare(
    a: Path,
    b: Path,
    percentiles: Sequence[str],
    threshold: float,
    across: Sequence[str],
    baselines: Sequence[Path],
    as_json: bool,
    markdown: bool,
) -> None:
    """Compare two results of `dualtower bench run`: B with A, point by point.

    A point is worse or better where the interval of its change lies beyond the noise of the
    repeats, and of earlier runs where --baseline gives them, and beyond the threshold, at a level
    that holds for all points together. Limits, events, searches, training, clients and LoadGen are
    compared by the figures in their rows: worse or better where intervals, or the brackets of a
    search, do not overlap, beyond the same noise and threshold. Exit 1: something is worse. Exit 2:
    a file cannot be used, or nothing could be compared.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown are two outputs; give one")
    from dualtower_benchmarks.compare.baselines import read_baselines
    from dualtower_benchmarks.compare.comparison import compare as compare_sides
    from dualtower_benchmarks.compare.document import comparison_document
    from dualtower_benchmarks.compare.markdown import comparison_markdown
    from dualtower_benchmarks.compare.side import read_side
    from dualtower_benchmarks.compare.text import comparison_text
    from dualtower_benchmarks.compare.verdicts import NOT_COMPARABLE, WORSE

    side_a, side_b = read_side(a), read_side(b)
    comparison = compare_sides(
        side_a,
        side_b,
        percentiles=[f"{name.replace('.', '_')}_ms" for name in percentiles],
        threshold=threshold,
        across=across,
        baselines=read_baselines(baselines, side_a, side_b, across=across),
    )
    if as_json:
        click.echo(json.dumps(comparison_document(comparison), ensure_ascii=False))
    elif markdown:
        click.echo(comparison_markdown(comparison))
    else:
        click.echo(comparison_text(comparison))
    if len(comparison.of(NOT_COMPARABLE)) == len(comparison.every):
        kinds = ", ".join(f"--across {kind}" for kind in _ACROSS)
        click.echo(f"no point could be compared; what may differ all the same: {kinds}", err=True)
        raise SystemExit(2)
    if comparison.of(WORSE):
        raise SystemExit(1)
