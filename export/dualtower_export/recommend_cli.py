"""`dualtower recommend --run` and `--bundle`: lists for many users, without a server.

It lies with the export because it reads both what the trainer and what the export wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dualtower.errors import UsageError
from dualtower.progress import step
from dualtower.tables import Table, show

if TYPE_CHECKING:
    from dualtower_trainer.scoring_towers import Towers

__all__ = ["recommend"]

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--run", type=_PATH, metavar="RUN", help="What `dualtower train` wrote.")
@click.option("--bundle", type=_PATH, metavar="BUNDLE", help="What `dualtower export` wrote.")
@click.option(
    "--data", type=_PATH, metavar="DATA", help="The folder with the histories, if it has moved."
)
@click.option(
    "--users", type=_PATH, required=True, metavar="FILE", help="User ids, one a line; .gz too."
)
@click.option(
    "--candidates", type=_PATH, metavar="FILE",
    help="Item ids, one a line.  [default: the whole catalogue]",
)  # fmt: skip
@click.option(
    "--items", type=_PATH, metavar="FILE",
    help="CSV, TSV or Parquet with item_id and text of candidates that the catalogue lacks.",
)  # fmt: skip
@click.option("-k", "--k", default=100, show_default=True, help="Length of a list.")
@click.option("--out", type=_PATH, required=True, metavar="FILE", help="JSON Lines to write.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
def recommend(
    run: Path | None,
    bundle: Path | None,
    data: Path | None,
    users: Path,
    candidates: Path | None,
    items: Path | None,
    k: int,
    out: Path,
    as_json: bool,
) -> None:
    """Recommend items for many users at once, by the towers of RUN or BUNDLE.

    Writes a line {"user_id": "...", "items": ["best", "second", ...]} for each user, in the order
    of the file. What a user took before is left out, blocked items are never in a list, and a user
    without history gets the list of the learned fallback. Items that nobody took in training are
    ranked by their text. Without --run or --bundle a running server is asked: see
    `dualtower recommend --help`.

    \b
    Example:
      dualtower recommend --run run --users users.txt --candidates candidates.txt \\
        --k 100 --out predictions.jsonl
    """
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_trainer.recommend_offline import recommend_offline

    with step("recommend"), _towers(run, bundle, data) as (towers, histories):
        summary = recommend_offline(
            towers,
            data=histories,
            users=users,
            out=out,
            k=k,
            candidates=candidates,
            items=items,
        )
    click.echo(json.dumps(summary)) if as_json else show([_table(summary)])


@contextmanager
def _towers(
    run: Path | None, bundle: Path | None, data: Path | None
) -> Iterator[tuple[Towers, Path]]:
    """The towers, and where the histories are."""
    if run is not None and bundle is None:
        from dualtower_trainer.checkpoint import load_trained
        from dualtower_trainer.scoring_towers import towers_of

        trained = load_trained(run)
        yield towers_of(trained), data or trained.data_path
    elif bundle is not None and run is None:
        from dualtower.bundle import Bundle
        from dualtower_export.bundle_towers import open_bundle_towers, recorded_data

        opened = Bundle.open(bundle)
        folder = data or recorded_data(opened)
        with open_bundle_towers(opened) as towers:
            yield towers, folder
    else:
        raise UsageError(
            "give the towers as --run RUN or as --bundle BUNDLE, one of the two; "
            "a running server is asked by --address HOST:PORT"
        )


def _table(summary: dict[str, Any]) -> Table:
    rows = [
        ("users", f"{summary['users']:,}"),
        ("without history", f"{summary['users_without_history']:,}"),
        ("candidates", f"{summary['candidates']:,}"),
        ("known by text only from --items", f"{summary['candidates_by_text']:,}"),
        ("blocked", f"{summary['blocked_candidates']:,}"),
        ("unknown, left out", f"{summary['unknown_candidates']:,}"),
        (f"lists shorter than {summary['k']}", f"{summary['short_lists']:,}"),
    ]
    return Table(summary["out"], rows)
