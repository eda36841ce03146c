"""`dualtower report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["report"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog="Examples: dualtower report server-quick.json; "
    "dualtower report bench.json --run run --bundle bundle"
)
@click.argument("results", nargs=-1, type=_FILE)
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="Of `train`.")
@click.option("--bundle", type=click.Path(path_type=Path, file_okay=False), help="Of `export`.")
@click.option("--out", type=_FILE, default=Path("report.html"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def report(
    results: Sequence[Path], run: Path | None, bundle: Path | None, out: Path, as_json: bool
) -> None:
    """One self-contained HTML page of what was trained, exported and measured.

    RESULTS are files of `dualtower bench`, one or several. With --run and --bundle the page tells
    the whole road, without them what was measured. It says what is missing, loads nothing from
    anywhere, needs no JavaScript, and follows the reader's light or dark setting.
    """
    from dualtower_benchmarks.report.write import write_report

    written = write_report(results, run=run, bundle=bundle, out=out)
    if as_json:
        click.echo(json.dumps(written.as_json(), ensure_ascii=False))
    else:
        for finding in written.findings:
            click.echo(f"- {finding}")
        click.echo(str(out))
