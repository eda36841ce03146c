"""The canonical data folder: what `dualtower data import` writes and everything else reads.

    DATA/
      interactions.parquet  user_id, item_id string · timestamp int64 seconds UTC
                            · weight float32 · event string where the source has one
      items.parquet         item_id, text string · category string · blocked bool
      import_report.json    counts of what was read, kept and dropped, and why
      quarantine.csv        the rows that could not be used, where there were any

A user who takes one item at three times has three rows: merging them before the time split would
carry later purchases into the weights of earlier ones. The split merges.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
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
    "new_folder",
    "write_report",
    "write_tables",
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
    if not target.exists():
        with atomic_folder(target) as temporary:
            yield temporary
        return
    if not overwrite:
        raise UsageError(f"{target} exists already; choose another folder, or give --overwrite")
    if not (target / ITEMS).exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            f"{target} is not a data folder (no {ITEMS}), so it is not overwritten; "
            "choose another folder or remove it yourself"
        )
    with atomic_folder(incoming) as temporary:
        yield temporary
    with disk_errors(target):
        target.rename(previous)
        incoming.rename(target)
        shutil.rmtree(previous)


def write_tables(folder: Path, interactions: pa.Table, items: pa.Table) -> None:
    """Writes both tables; further columns (`event`) follow those of the schemas."""
    for name, table, schema in (
        (INTERACTIONS, interactions, INTERACTIONS_SCHEMA),
        (ITEMS, items, ITEMS_SCHEMA),
    ):
        further = [field for field in table.schema if field.name not in schema.names]
        whole = pa.schema([*schema, *further])
        pq.write_table(table.select(whole.names).cast(whole), folder / name, compression="zstd")


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes `import_report.json`."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
