"""Reads a file of items, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dualtower.errors import DataError
from dualtower_trainer.data.columns import ITEM_ROLES, choose_columns
from dualtower_trainer.data.feature_vectors import parse_features
from dualtower_trainer.data.quarantine import BadRows
from dualtower_trainer.data.record import RowSource

__all__ = ["MAX_ID_CHARS", "MAX_TEXT_CHARS", "ItemFile", "read_items"]

MAX_TEXT_CHARS = 10_000  # far beyond what a BERT reads; keeps one wild row from filling a batch
MAX_ID_CHARS = 1_000
_FLAGS = {
    **dict.fromkeys(("", "0", "0.0", "false", "f", "no", "n"), False),
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y"), True),
}


@dataclass
class ItemFile:
    """The good items of a file in its order, and counts of the rest.

    `rows` maps an item id to its place; `categories`, `blocked` and `features` hold "", False and
    None where the file says nothing. All vectors in `features` are as long as the first.
    """

    rows: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    blocked: list[bool] = field(default_factory=list)
    features: list[npt.NDArray[np.float32] | None] = field(default_factory=list)
    rows_read: int = 0
    repeated: int = 0
    cut_texts: int = 0

    def table(self) -> pa.Table:
        """The items as canonical columns."""
        columns = {
            "item_id": pa.array(list(self.rows), pa.string()),
            "text": pa.array(self.texts, pa.string()),
            "category": pa.array([name or None for name in self.categories], pa.string()),
            "blocked": pa.array(self.blocked, pa.bool_()),
        }
        if any(vector is not None for vector in self.features):
            columns["features"] = pa.array(self.features, pa.list_(pa.float32()))
        return pa.table(columns)


def read_items(source: RowSource, chosen: Mapping[str, str], bad: BadRows) -> ItemFile:
    """Reads all items; a row that cannot be used goes to `bad`.

    Of rows with one id the first stays: an equal one is counted as repeated, one with another text
    is quarantined.

    Raises:
        DataError: a column is missing, or the file has no rows or is damaged.
    """
    columns = choose_columns(source, ITEM_ROLES, chosen, "--item-map")
    places = {role: place for place, role in enumerate(columns)}
    category_at, blocked_at = places.get("category"), places.get("blocked")
    features_at, width = places.get("features"), 0
    items = ItemFile()
    for line, fields, problem, raw in source.records(list(columns.values())):
        items.rows_read += 1
        if problem:
            bad.add(line, problem, raw)
            continue
        item_id, text = fields[0].strip(), fields[1].strip()
        cut = len(text) > MAX_TEXT_CHARS
        text = text[:MAX_TEXT_CHARS] if cut else text
        flag = "" if blocked_at is None else fields[blocked_at].strip().lower()
        listed = "" if features_at is None else fields[features_at].strip()
        vector, why = _vector(listed, width)
        before = items.rows.get(item_id)
        if not item_id:
            problem = "empty item id"
        elif len(item_id) > MAX_ID_CHARS:
            problem = "id too long"
        elif not text:
            problem = "empty text"
        elif flag not in _FLAGS:
            problem = "blocked is neither true nor false"
        elif why:
            problem = why
        elif before is not None and items.texts[before] != text:
            problem = "item id again, with another text"
        if problem:
            bad.add(line, problem, raw)
        elif before is not None:
            items.repeated += 1
        else:
            items.rows[item_id] = len(items.texts)
            items.texts.append(text)
            items.categories.append("" if category_at is None else fields[category_at].strip())
            items.blocked.append(_FLAGS[flag])
            items.features.append(vector)
            width = width or (0 if vector is None else len(vector))
            items.cut_texts += cut
    if not items.rows_read:
        raise DataError(f"{source.path} has a header and no rows")
    return items


def _vector(listed: str, width: int) -> tuple[npt.NDArray[np.float32] | None, str]:
    """The vector of a field, None for an empty one, and why it cannot be used."""
    if not listed:
        return None, ""
    try:
        vector = parse_features(listed)
    except ValueError:
        return None, "features are no list of finite numbers"
    if width and len(vector) != width:
        return None, "features of another length than those before"
    return vector, ""
