"""The canonical data folder: what `dualtower data import` writes and everything else reads.

    DATA/
      interactions.parquet  user_id, item_id string · timestamp int64 seconds UTC
                            (all 0 where the source has no times) · weight float32 · event
                            string and rating float32 where the source has them
      items.parquet         item_id, text string · category string · blocked bool · features
                            list of float32, all of one length, where the source has vectors of
                            another modality
      import_report.json    counts of what was read, kept and dropped, and why
      quarantine.csv        the rows that could not be used, where there were any

A user who takes one item at three times has three rows: merging them before the time split would
carry later purchases into the weights of earlier ones. The split merges.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualtower.errors import UsageError
from dualtower.files import atomic_folder, disk_errors, remove_stale

__all__ = [
    "INTERACTIONS",
    "INTERACTIONS_SCHEMA",
    "ITEMS",
    "ITEMS_SCHEMA",
    "QUARANTINE",
    "REPORT",
    "discarded_folder",
    "new_folder",
    "write_interactions",
    "write_items",
    "write_report",
]

INTERACTIONS = "interactions.parquet"
ITEMS = "items.parquet"
REPORT = "import_report.json"
QUARANTINE = "quarantine.csv"

INTERACTIONS_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.int64()),
        ("weight", pa.float32()),
    ]
)
ITEMS_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("text", pa.string()),
        ("category", pa.string()),
        ("blocked", pa.bool_()),
    ]
)


@contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields a temporary folder that becomes `target` when the block ends without an error.

    With `overwrite` an existing folder stays in place until the new one is whole, and only for the
    moment of the exchange it is called `TARGET.previous`; a crash there is mended by the next call.

    Raises:
        UsageError: `target` exists and `overwrite` is false, or it is no data folder of ours.
    """
    previous, incoming = (target.with_name(target.name + end) for end in (".previous", ".incoming"))
    with disk_errors(target):
        if previous.exists():
            if target.exists():
                shutil.rmtree(previous)
            else:
                previous.rename(target)
        if incoming.exists():
            shutil.rmtree(incoming)
        if target.parent.is_dir():
            remove_stale(target.parent)
    _refuse(target, overwrite=overwrite)
    if not target.exists():
        with atomic_folder(target) as temporary:
            yield temporary
        return
    with atomic_folder(incoming) as temporary:
        yield temporary
    with disk_errors(target):
        target.rename(previous)
        incoming.rename(target)
        shutil.rmtree(previous)


def _refuse(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise UsageError(f"{target} exists already; choose another folder, or give --overwrite")
    if not (target / ITEMS).exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            f"{target} is not a data folder (no {ITEMS}), so it is not overwritten; "
            "choose another folder or remove it yourself"
        )


@contextmanager
def discarded_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields a folder that is thrown away: the dry run of `new_folder`, with its refusals."""
    _refuse(target, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix="dualtower-dry-run-") as temporary:
        yield Path(temporary)


def write_items(folder: Path, items: pa.Table) -> None:
    """Writes `items.parquet`; columns beyond the schema are kept."""
    _write(folder / ITEMS, [items], ITEMS_SCHEMA)


def write_interactions(folder: Path, pieces: Iterable[pa.Table]) -> None:
    """Writes `interactions.parquet` piece by piece; columns beyond the schema are kept."""
    _write(folder / INTERACTIONS, pieces, INTERACTIONS_SCHEMA)


def _write(path: Path, pieces: Iterable[pa.Table], schema: pa.Schema) -> None:
    pieces = iter(pieces)
    first = next(pieces)
    further = [field for field in first.schema if field.name not in schema.names]
    whole = pa.schema([*schema, *further])
    with pq.ParquetWriter(path, whole, compression="zstd") as writer:
        for piece in itertools.chain([first], pieces):
            writer.write_table(piece.select(whole.names).cast(whole))


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes `import_report.json`."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
