"""`dualtower recommend`: asks a running server from the command line, without TensorFlow."""

from __future__ import annotations

import json

import click

from dualtower.errors import UsageError
from dualtower_clients.connection_options import Connection, connection_options
from dualtower_clients.expected_fingerprint import expect_fingerprint_option, whole_fingerprint
from dualtower_clients.recommender import Recommender
from dualtower_clients.results import Recommendation

__all__ = ["recommend"]


@click.command(
    epilog="\b\nExample:\n  dualtower recommend --address localhost:8500 -k 5 \\\n"
    "    --history 'salted butter 250 g' --history 'rye bread'"
)
@click.option(
    "--history",
    "texts",
    multiple=True,
    metavar="TEXT",
    help="Text of an item in the history, most recent first; may be given several times.",
)
@click.option(
    "--item-id",
    "item_ids",
    multiple=True,
    metavar="ID",
    help="Id of an item in the history, in place of its text.",
)
@click.option(
    "--exclude", multiple=True, metavar="ID", help="Id of an item that must not be recommended."
)
@click.option("-k", default=10, show_default=True, help="How many items.")
@expect_fingerprint_option
@click.option("--label", metavar="NAME", help="Ask the version with this label, as of a rollout.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@connection_options
def recommend(
    connection: Connection,
    texts: tuple[str, ...],
    item_ids: tuple[str, ...],
    exclude: tuple[str, ...],
    k: int,
    expect_fingerprint: str | None,
    label: str | None,
    as_json: bool,
) -> None:
    """Recommend items for a history, by the server at ADDRESS.

    Without --history and --item-id it answers for someone of whom nothing is known.

    For many users at once and without a server, give what was trained or exported instead: see
    `dualtower recommend --run RUN --help`; with --edge EDGE the files for a phone answer.
    """
    if texts and item_ids:
        raise UsageError("give the history as --history texts or as --item-id ids, not both")
    expected = whole_fingerprint(
        expect_fingerprint,
        connection.addresses,
        timeout_s=connection.timeout_s,
        settings=connection.settings,
        label=label,
    )
    with Recommender(
        connection.addresses,
        timeout_s=connection.timeout_s,
        settings=connection.settings,
        expect_fingerprint=expected,
        label=label,
    ) as recommender:
        if item_ids:
            found = recommender.recommend_by_ids(item_ids, k=k, exclude=exclude)
        else:
            found = recommender.recommend(texts, k=k, exclude=exclude)
    click.echo(_as_json(found) if as_json else _as_table(found))


def _as_json(found: Recommendation) -> str:
    items = [
        {"item_id": item_id, "score": float(score)}
        for item_id, score in zip(found.item_ids, found.scores, strict=True)
    ]
    facts = {
        "items": items,
        "version": found.version,
        "fingerprint": found.fingerprint,
        "elapsed_ms": round(found.elapsed_ms, 3),
    }
    return json.dumps(facts, ensure_ascii=False)


def _as_table(found: Recommendation) -> str:
    width = max([len("item"), *map(len, found.item_ids)])
    lines = [f"{'rank':>4}  {'item':<{width}}  {'score':>8}"]
    for rank, (item_id, score) in enumerate(zip(found.item_ids, found.scores, strict=True), 1):
        lines.append(f"{rank:>4}  {item_id:<{width}}  {score:>8.4f}")
    if not found.item_ids:
        lines.append("      nothing is left to recommend")
    lines.append(f"version {found.version} of {found.fingerprint[:12]}, {found.elapsed_ms:.1f} ms")
    return "\n".join(lines)
