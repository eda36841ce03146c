"""`dualtower recommend --run`, `--bundle` and `--edge`: lists for many users, without a server.

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
    "--edge", type=_PATH, metavar="EDGE",
    help="The folder `edge` of a bundle: the files for a phone, without TensorFlow.",
)  # fmt: skip
@click.option(
    "--variant", metavar="NAME",
    help="Format of the towers of EDGE.  [default: the smallest that is there]",
)  # fmt: skip
@click.option(
    "--data", type=_PATH, metavar="DATA", help="The folder with the histories, if it has moved."
)
@click.option("--users", type=_PATH, metavar="FILE", help="User ids, one a line; .gz too.")
@click.option(
    "--histories", type=_PATH, metavar="FILE",
    help="In place of --users, with --edge: JSON Lines of user_id and history.",
)  # fmt: skip
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
    edge: Path | None,
    variant: str | None,
    data: Path | None,
    users: Path | None,
    histories: Path | None,
    candidates: Path | None,
    items: Path | None,
    k: int,
    out: Path,
    as_json: bool,
) -> None:
    """Recommend items for many users at once, by the towers of RUN, BUNDLE or EDGE.

    Writes a line {"user_id": "...", "items": ["best", "second", ...]} for each user, in the order
    of the file. What a user took before is left out, blocked items are never in a list, and a user
    without history gets the list of the learned fallback. Items that nobody took in training are
    ranked by their text. Without --run, --bundle or --edge a running server is asked: see
    `dualtower recommend --help`.

    With --histories the lists come from the user tower and catalogue.*.tflite, as in an app. A line
    is {"user_id": "...", "history": ["item-id", {"text": "what the catalogue lacks"}]}, the most
    recent first; k goes up to export.edge_k.

    \b
    Examples:
      dualtower recommend --run run --users users.txt --candidates candidates.txt \\
        --k 100 --out predictions.jsonl
      dualtower recommend --edge bundle/edge --histories histories.jsonl --out predictions.jsonl
    """
    sources = [source for source in (run, bundle, edge) if source is not None]
    if len(sources) != 1:
        raise UsageError(
            "give the towers as --run RUN, --bundle BUNDLE or --edge EDGE, one of the three; "
            "a running server is asked by --address HOST:PORT"
        )
    if variant is not None and edge is None:
        raise UsageError("--variant names a format of --edge EDGE; leave it out")
    if histories is not None:
        _refuse_beside_histories(edge, users=users, data=data, candidates=candidates, items=items)
        assert edge is not None
        from dualtower_export.edge_histories import recommend_histories

        with step("recommend"):
            found = recommend_histories(edge, histories, out, k=k, tower=variant)
        click.echo(json.dumps(found)) if as_json else show([_edge_table(found)])
        return
    if users is None:
        raise UsageError(
            "give the users as --users FILE, one id a line"
            + (", or as --histories FILE" if edge else "")
        )
    if edge is None:
        from dualtower_trainer.quiet_tensorflow import import_tensorflow

        import_tensorflow()
    from dualtower_trainer.recommend_offline import recommend_offline

    with step("recommend"), _towers(run, bundle, edge, variant, data) as (towers, folder):
        summary = recommend_offline(
            towers,
            data=folder,
            users=users,
            out=out,
            k=k,
            candidates=candidates,
            items=items,
        )
    click.echo(json.dumps(summary)) if as_json else show([_table(summary)])


@contextmanager
def _towers(
    run: Path | None, bundle: Path | None, edge: Path | None, variant: str | None, data: Path | None
) -> Iterator[tuple[Towers, Path]]:
    """The towers, and where the histories are."""
    if run is not None:
        from dualtower_trainer.checkpoint import load_trained
        from dualtower_trainer.scoring_towers import towers_of

        trained = load_trained(run)
        yield towers_of(trained), data or trained.data_path
    elif bundle is not None:
        from dualtower.bundle import Bundle
        from dualtower_export.bundle_towers import open_bundle_towers
        from dualtower_export.recorded_data import recorded_data

        opened = Bundle.open(bundle)
        folder = data or recorded_data(opened)
        with open_bundle_towers(opened) as towers:
            yield towers, folder
    else:
        assert edge is not None
        from dualtower_export.edge_towers import data_of_edge, open_edge_towers

        yield open_edge_towers(edge, variant), data or data_of_edge(edge)


def _refuse_beside_histories(edge: Path | None, **others: Path | None) -> None:
    """Histories stand for users and their data, and are ranked against the whole catalogue."""
    if edge is None:
        raise UsageError("--histories FILE goes with --edge EDGE; give --users FILE instead")
    if given := [f"--{name}" for name, value in others.items() if value is not None]:
        raise UsageError(
            f"--histories FILE stands in place of {', '.join(given)}; give one or the other"
        )


def _edge_table(summary: dict[str, Any]) -> Table:
    rows = [
        ("users", f"{summary['users']:,}"),
        ("without a known item", f"{summary['users_without_history']:,}"),
        ("items known by text only", f"{summary['history_by_text']:,}"),
        ("unknown ids, skipped", f"{summary['unknown_ids']:,}"),
        (f"lists shorter than {summary['k']}", f"{summary['short_lists']:,}"),
    ]
    return Table(summary["out"], rows)


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
