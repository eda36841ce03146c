"""Files of interactions and items, one's own or of a published data set, as a canonical folder.

    items.csv ──► item ids, texts ──┐
    log.csv   ──► coded columns ────┴──► DATA/   and quarantine.csv for what could not be used

A bad row costs itself, never the import. Memory holds the catalogue and about 25 bytes for each
interaction (some 100 while they are sorted); the text of the files passes through in pieces.
Formats of published data sets are in `formats/`; they hand over rows, and the rest is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dualtower.errors import DataError
from dualtower.progress import step
from dualtower_trainer.data.canonical import (
    QUARANTINE,
    discarded_folder,
    new_folder,
    write_interactions,
    write_items,
    write_report,
)
from dualtower_trainer.data.formats import FormatOptions, Opened, open_format
from dualtower_trainer.data.item_reader import ItemFile, read_items
from dualtower_trainer.data.log_reader import LogFile, read_log
from dualtower_trainer.data.quarantine import BadRows, Quarantine
from dualtower_trainer.data.timestamps import iso_utc

__all__ = ["FileOptions", "import_files"]

_PIECE_ROWS = 1 << 20
_YEAR_1980_S = 315_532_800


@dataclass(frozen=True)
class FileOptions:
    """How the files are read.

    Attributes:
        format: `generic` for files of one's own, or one of `formats.FORMATS`.
        columns: `{role: column}` of the interactions: user_id, item_id, timestamp, event, weight,
            rating.
        item_columns: `{role: column}` of the items: item_id, text, category, blocked, features.
        delimiter: character between fields; None goes by the name of the file.
        quotes: whether `"…"` encloses a field.
        timestamp_format: a `strptime` pattern; None reads numbers and ISO 8601.
        min_rating: the least rating that is an interaction; None takes all of them.
        text_template: how an item's text is made of a format's fields; None is its own way.
        max_bad_share: share of the rows of a file that may be unusable.
    """

    format: str = "generic"
    columns: Mapping[str, str] = field(default_factory=dict)
    item_columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    quotes: bool = True
    timestamp_format: str | None = None
    min_rating: float | None = None
    text_template: str | None = None
    max_bad_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad_share <= 1:
            raise ValueError(f"max_bad_share must be in [0, 1], got {self.max_bad_share}")


def import_files(
    interactions: Path,
    items: Path | None,
    out: Path,
    options: FileOptions | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Writes a canonical data folder (not in a dry run) and returns its import report.

    Args:
        interactions: the file of interactions.
        items: the file of items; None where the format keeps both in one.
        out: the folder.
        options: how to read.
        overwrite: replace a data folder that is there.
        dry_run: read and report, and write nothing.

    Raises:
        DataError: a file is missing, damaged, lacks a column, or has too many bad rows; or the two
            files share no item.
        UsageError: `out` exists (without `overwrite`) or cannot be written.

    Example:
        import_files(Path("log.csv"), Path("items.csv"), Path("data"),
                     FileOptions(columns={"user_id": "CustomerID"}))
    """
    options = options or FileOptions()
    opened = open_format(options.format, interactions, items, _format_options(options))
    items = items or interactions
    folder = discarded_folder if dry_run else new_folder
    with (
        folder(out, overwrite=overwrite) as temporary,
        Quarantine(temporary / QUARANTINE) as quarantine,
    ):
        bad_items, bad_rows = quarantine.of(str(items)), quarantine.of(str(interactions))
        with step(f"read {items.name}"):
            catalogue = read_items(opened.items, options.item_columns, bad_items)
            _refuse_mostly_bad(catalogue.rows_read, bad_items, options)
        with step(f"read {interactions.name}"):
            log = read_log(
                opened.log,
                options.columns,
                catalogue.rows,
                bad_rows,
                left_out=opened.left_out,
                timestamp_format=opened.timestamp_format,
                min_rating=options.min_rating,
            )
            _refuse_mostly_bad(log.rows_read, bad_rows, options)
        with step("write the data folder"):
            write_items(temporary, catalogue.table())
            write_interactions(temporary, _pieces(log, list(catalogue.rows)))
            report = {
                "source": {
                    "name": options.format,
                    "interactions": str(interactions),
                    "items": str(items),
                },
                "options": dataclasses.asdict(options),
                "text_template": opened.text_template,
                **_counts(opened, catalogue, log, bad_items, bad_rows),
                "quarantine": quarantine.report(),
            }
            write_report(temporary, report)
    return report


def _format_options(options: FileOptions) -> FormatOptions:
    return FormatOptions(
        options.text_template, options.delimiter, options.quotes, options.timestamp_format
    )


def _refuse_mostly_bad(rows_read: int, bad: BadRows, options: FileOptions) -> None:
    """More bad rows than allowed mean a wrong column or a wrong format, not bad rows."""
    if bad.total < rows_read and bad.total <= options.max_bad_share * rows_read:
        return
    reasons = ", ".join(f"{reason}: {count}" for reason, count in bad.counts.most_common())
    raise DataError(
        f"{bad.file}: {bad.total} of {rows_read} rows cannot be used ({reasons}), allowed is a "
        f"share of {options.max_bad_share:g}. First ones: {'; '.join(bad.examples)}. Check --map, "
        "--item-map, --delimiter, --timestamp-format, or allow more with --max-bad-share"
    )


def _pieces(log: LogFile, item_ids: list[str]) -> Iterator[pa.Table]:
    """The interactions as canonical columns, a million rows at a time."""
    names = {
        "user_id": (log.users, pa.array(log.user_ids, pa.string())),
        "item_id": (log.items, pa.array(item_ids, pa.string())),
    }
    if log.events:
        event_names = pa.array([event or None for event in log.events], pa.string())
        names["event"] = (log.event_codes, event_names)
    for begin in range(0, len(log), _PIECE_ROWS):
        part = slice(begin, begin + _PIECE_ROWS)
        columns = {
            role: values.take(pa.array(codes[part])) for role, (codes, values) in names.items()
        }
        columns |= {"timestamp": pa.array(log.times_s[part]), "weight": pa.array(log.weights[part])}
        if log.ratings is not None:
            columns["rating"] = pa.array(log.ratings[part], from_pandas=True)
        yield pa.table(columns)


def _counts(
    opened: Opened, catalogue: ItemFile, log: LogFile, bad_items: BadRows, bad_rows: BadRows
) -> dict[str, Any]:
    first_s, last_s = int(log.times_s.min()), int(log.times_s.max())
    warnings = []
    if log.timed and last_s < _YEAR_1980_S:
        warnings.append(
            f"the times end on {iso_utc(last_s)}: are they seconds, or dates such as 20171231 "
            "that need --timestamp-format %Y%m%d?"
        )
    if not log.timed:
        warnings.append(
            "no timestamp column: nothing is known of the order, so a split is random and no model "
            "can learn what is recent"
        )
    return {
        "interactions_file": {
            "read": log.rows_read,
            "left_out": dict(opened.left_out),
            "dropped": {"equal to an earlier row": log.repeated},
            "quarantined": dict(bad_rows.counts),
            "kept": len(log),
            "users_without_a_good_row": log.lost_users,
        },
        "items_file": {
            "read": catalogue.rows_read,
            "dropped": {"equal to an earlier row": catalogue.repeated},
            "quarantined": dict(bad_items.counts),
            "kept": len(catalogue.rows),
            "texts_cut": catalogue.cut_texts,
            "without_interactions": len(catalogue.rows) - len(np.unique(log.items)),
        },
        "first": iso_utc(first_s) if log.timed else None,
        "last": iso_utc(last_s) if log.timed else None,
        "interactions": len(log),
        "users": len(log.user_ids),
        "items": len(catalogue.rows),
        "notes": list(opened.notes),
        "warnings": warnings,
    }
