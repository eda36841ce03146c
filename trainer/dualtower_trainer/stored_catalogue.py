"""The catalogue beside a trained pair: RUN/model/catalogue.parquet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dualtower_trainer.data import Catalogue

__all__ = ["catalogue_table", "read_catalogue"]


def catalogue_table(catalogue: Catalogue, warm: np.ndarray) -> pa.Table:
    """item_id, text, category ("" for none), blocked and warm, in the order of the catalogue."""
    categories = catalogue.categories
    if categories is None:
        categories = np.full(len(catalogue), "", object)
    return pa.table(
        {
            "item_id": pa.array(catalogue.item_ids, pa.string()),
            "text": pa.array(catalogue.texts, pa.string()),
            "category": pa.array(categories, pa.string()),
            "blocked": pa.array(catalogue.blocked),
            "warm": pa.array(np.asarray(warm, bool)),
        }
    )


def read_catalogue(table: pa.Table) -> Catalogue:
    """The inverse of `catalogue_table`; vectors of other modalities are not kept."""

    def strings(name: str) -> np.ndarray:
        return table[name].to_numpy(zero_copy_only=False).astype(object)

    categories = strings("category")
    return Catalogue(
        item_ids=strings("item_id"),
        texts=strings("text"),
        categories=categories if any(categories) else None,
        blocked=table["blocked"].to_numpy(),
    )
