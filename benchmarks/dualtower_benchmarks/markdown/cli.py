"""`dualtower bench markdown`, `dualtower bench readme` and `dualtower bench keep`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dualtower.errors import GateFailed

__all__ = ["keep", "markdown", "readme"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog="Example: dualtower bench markdown server-full.json")
@click.argument("results", type=_FILE)
def markdown(results: Path) -> None:
    """Print results of `bench run` as Markdown tables, with the machine below them.

    Points have one table, and limits, events, searches, training, clients and LoadGen theirs.
    """
    from dualtower_benchmarks.markdown.values import text_for
    from dualtower_benchmarks.schema import read_results

    click.echo(text_for(read_results(results, with_raw=False), "", {}))


@click.command(epilog="Example: dualtower bench readme README.md server-full.json --check")
@click.argument("readme", metavar="README.md", type=_FILE)
@click.argument("results", nargs=-1, required=True, type=_FILE)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where something would change.")
def readme(readme: Path, results: Sequence[Path], check: bool) -> None:
    """Write the numbers of results into a README, between their markers.

    A marker is <!-- bench:NAME --> … <!-- /bench -->, NAME being the scenario; between them come
    the tables with the machine. <!-- bench:NAME table KEY=VALUE … --> takes the cases that fit,
    machine and command what they say, and the name of a column one number:
    <!-- bench:NAME p99_ms driver=grpc batch_rows=1 --> … <!-- /bench -->. With part=limit, or
    another table of the scenario, it is of that: <!-- bench:NAME table part=limit -->.
    """
    from dualtower_benchmarks.markdown.readme import update_readme
    from dualtower_benchmarks.schema import read_results

    given = [read_results(path, with_raw=False) for path in results]
    changed = update_readme(readme, given, check=check)
    if check and changed:
        raise GateFailed(
            f"{readme} does not have the numbers of {', '.join(map(str, results))}; run "
            f"`dualtower bench readme {readme} {' '.join(map(str, results))}`"
        )
    click.echo(f"{readme} {'rewritten' if changed else 'as it was'}")


@click.command(epilog="Example: dualtower bench keep server-full.json --to benchmarks/results")
@click.argument("results", nargs=-1, required=True, type=_FILE)
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where NAME.json.gz goes, NAME being the scenario.",
)
def keep(results: Sequence[Path], folder: Path) -> None:
    """Pack results for a repository: every row, without the requests and without paths.

    `bench markdown`, `bench readme` and `report` read the packed file; `bench compare` takes it as
    a baseline, and compares what needs no requests. Folders of absolute paths, which name the
    machine's owner, are cut out of it.
    """
    from dualtower_benchmarks.markdown.keep import keep_results
    from dualtower_benchmarks.schema import read_results

    for path in [keep_results(read_results(one), folder) for one in results]:
        click.echo(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")
