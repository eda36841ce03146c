"""Reads a canonical data folder into memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualtower.errors import DataError
from dualtower_trainer.data.canonical import INTERACTIONS, ITEMS
from dualtower_trainer.data.dataset import Catalogue, Dataset, Interactions, Strings
from dualtower_trainer.data.timestamps import END_S

__all__ = ["load_dataset"]

_IMPORT = "make a data folder with `dualtower data import --help`"


def load_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """Reads `interactions.parquet` and `items.parquet`.

    Interactions whose item is not in the catalogue are left out and counted.

    Raises:
        DataError: a file or a column is missing, unreadable or of another type; an id is empty or
            an item id occurs twice; a time is no time; a weight is not above 0; vectors differ in
            length; or nothing is left.

    Example:
        dataset = load_dataset("data")
        len(dataset.catalogue), len(dataset.interactions), dataset.unknown_items
    """
    path = Path(folder)
    items = _read(path / ITEMS, {"item_id": pa.string(), "text": pa.string()})
    log = _read(
        path / INTERACTIONS,
        {"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.int64()},
    )
    catalogue = _catalogue(items, path / ITEMS)
    rows = pc.index_in(log["item_id"], value_set=items["item_id"].combine_chunks())
    known = pc.is_valid(rows)
    unknown = log.num_rows - int(pc.sum(known).as_py() or 0)
    if unknown == log.num_rows:
        raise DataError(
            f"{path}: none of its {log.num_rows} interactions names an item of its {len(catalogue)}"
            f" items; {_IMPORT}"
        )
    log, rows = log.filter(known), rows.filter(known)
    times_s = log["timestamp"].to_numpy()
    if times_s.min() < 0 or times_s.max() >= END_S:
        raise DataError(
            f"{path / INTERACTIONS}: timestamps run from {times_s.min()} to {times_s.max()}; they "
            f"must be seconds UTC between 1970 and 2100; {_IMPORT}"
        )
    users, user_ids = _codes(log["user_id"])
    interactions = Interactions(
        users=users,
        items=rows.to_numpy().astype(np.int32),
        timestamps=times_s,
        weights=_weights(log, path / INTERACTIONS),
        user_ids=user_ids,
    )
    events, event_names = _events(log)
    return Dataset(
        catalogue, interactions, path.resolve(), unknown, _ratings(log), events, event_names
    )


def _read(path: Path, required: dict[str, pa.DataType]) -> pa.Table:
    """The table, with its required columns cast and without nulls in them."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; {_IMPORT}") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); import it again") from error
    for name, kind in required.items():
        if name not in table.column_names:
            found = ", ".join(table.column_names)
            raise DataError(f"{path} has no column {name!r}, it has {found}; {_IMPORT}")
        try:
            column = table[name].cast(kind)
        except pa.ArrowException as error:
            raise DataError(
                f"{path}: column {name!r} is {table.schema.field(name).type}, it must be {kind}"
            ) from error
        empty = column.null_count
        if kind == pa.string():
            empty += int(pc.sum(pc.equal(column, "")).as_py() or 0)
        if empty:
            raise DataError(f"{path}: column {name!r} has {empty} empty values; {_IMPORT}")
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _catalogue(items: pa.Table, path: Path) -> Catalogue:
    item_ids = _strings(items["item_id"])
    if items.num_rows == 0:
        raise DataError(f"{path} has no items; {_IMPORT}")
    if pc.count_distinct(items["item_id"]).as_py() != items.num_rows:
        counts = items["item_id"].value_counts()
        twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
        raise DataError(f"{path}: item id {twice[0].as_py()!r} occurs more than once; {_IMPORT}")
    categories = None
    if "category" in items.column_names:
        column = items["category"].cast(pa.string())
        if column.null_count < items.num_rows:
            categories = _strings(column.fill_null(""))
    blocked = np.zeros(items.num_rows, bool)
    if "blocked" in items.column_names:
        blocked = items["blocked"].cast(pa.bool_()).fill_null(False).to_numpy()
    features = _features(items, path)
    return Catalogue(item_ids, _strings(items["text"]), categories, blocked, features)


def _features(items: pa.Table, path: Path) -> npt.NDArray[np.float32] | None:
    """float32 [items, width], zeros for a null; None where all are."""
    if "features" not in items.column_names or items["features"].null_count == items.num_rows:
        return None
    try:
        column = items["features"].cast(pa.list_(pa.float32())).combine_chunks()
    except pa.ArrowException as error:
        kind = items.schema.field("features").type
        raise DataError(
            f"{path}: column 'features' is {kind}, it must be lists of float32; {_IMPORT}"
        ) from error
    known = pc.is_valid(column).to_numpy(zero_copy_only=False)
    lengths = np.unique(pc.list_value_length(column.filter(pc.is_valid(column))).to_numpy())
    values = column.filter(pc.is_valid(column)).flatten()
    if len(lengths) > 1 or not lengths[0]:
        raise DataError(
            f"{path}: vectors of column 'features' have from {lengths[0]} to {lengths[-1]} numbers;"
            f" all must have as many, at least one; {_IMPORT}"
        )
    numbers = np.asarray(values.fill_null(float("nan")).to_numpy(), np.float32)
    if not np.isfinite(numbers).all():
        raise DataError(f"{path}: column 'features' must hold finite numbers; {_IMPORT}")
    features = np.zeros((items.num_rows, int(lengths[0])), np.float32)
    features[known] = numbers.reshape(-1, int(lengths[0]))
    return features


def _weights(log: pa.Table, path: Path) -> npt.NDArray[np.float32]:
    """float32 weights; 1 for each where the file has none."""
    if "weight" not in log.column_names:
        return np.ones(log.num_rows, np.float32)
    weights: npt.NDArray[np.float32] = log["weight"].cast(pa.float32()).fill_null(1.0).to_numpy()
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise DataError(f"{path}: column 'weight' must be finite and above 0; {_IMPORT}")
    return weights


def _ratings(log: pa.Table) -> npt.NDArray[np.float32] | None:
    if "rating" not in log.column_names or log["rating"].null_count == log.num_rows:
        return None
    column = log["rating"].cast(pa.float32()).fill_null(float("nan"))
    return np.asarray(column.to_numpy(), np.float32)


def _events(log: pa.Table) -> tuple[npt.NDArray[np.int32] | None, tuple[str, ...]]:
    """Codes of the events into their sorted names, -1 for none, and these names."""
    if "event" not in log.column_names or log["event"].null_count == log.num_rows:
        return None, ()
    codes, names = _codes(log["event"].cast(pa.string()).fill_null(""))
    if names[0] == "":
        return codes - np.int32(1), tuple(names[1:])
    return codes, tuple(names)


def _codes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], Strings]:
    """int32 codes into the sorted distinct values, and these values."""
    encoded = column.combine_chunks().dictionary_encode()
    values = _strings(encoded.dictionary)
    order = np.argsort(values)
    place = np.empty(len(values), np.int32)
    place[order] = np.arange(len(values), dtype=np.int32)
    return place[encoded.indices.to_numpy()], values[order]


def _strings(column: pa.Array | pa.ChunkedArray) -> Strings:
    strings = np.empty(len(column), object)
    strings[:] = column.to_pylist()
    return strings
