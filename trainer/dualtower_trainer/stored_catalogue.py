"""The catalogue beside a trained pair: RUN/model/catalogue.parquet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dualtower_trainer.data import Catalogue

__all__ = ["catalogue_table", "read_catalogue"]


def catalogue_table(catalogue: Catalogue, warm: np.ndarray) -> pa.Table:
    """item_id, text, category ("" for none), blocked and warm, in the order of the catalogue; and
    features, the raw vectors of another modality (zeros for an item without), where it has any."""
    categories = catalogue.categories
    if categories is None:
        categories = np.full(len(catalogue), "", object)
    columns = {
        "item_id": pa.array(catalogue.item_ids, pa.string()),
        "text": pa.array(catalogue.texts, pa.string()),
        "category": pa.array(categories, pa.string()),
        "blocked": pa.array(catalogue.blocked),
        "warm": pa.array(np.asarray(warm, bool)),
    }
    if catalogue.features is not None:
        numbers = pa.array(np.ravel(catalogue.features), pa.float32())
        columns["features"] = pa.FixedSizeListArray.from_arrays(
            numbers, catalogue.features.shape[1]
        )
    return pa.table(columns)


def read_catalogue(table: pa.Table) -> Catalogue:
    """The inverse of `catalogue_table`."""

    def strings(name: str) -> np.ndarray:
        return table[name].to_numpy(zero_copy_only=False).astype(object)

    categories = strings("category")
    features = None
    if "features" in table.column_names:
        numbers = table["features"].combine_chunks().flatten().to_numpy()
        features = np.asarray(numbers, np.float32).reshape(len(table), -1)
    return Catalogue(
        item_ids=strings("item_id"),
        texts=strings("text"),
        categories=categories if any(categories) else None,
        blocked=table["blocked"].to_numpy(),
        features=features,
    )
