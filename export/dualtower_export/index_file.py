"""`index/catalogue.parquet`: the catalogue with its vectors, for any tool that reads Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualtower_trainer.checkpoint import Trained

__all__ = ["write_index"]


def write_index(path: Path, trained: Trained) -> None:
    """Columns item_id, text, category, blocked, warm and vector list<float32>, row by row."""
    count = len(trained.item_ids)
    categories = trained.categories
    if categories is None:
        categories = np.full(count, "", object)
    offsets = np.arange(count + 1, dtype=np.int32) * trained.config.dim
    values = pa.array(np.ascontiguousarray(trained.vectors, np.float32).reshape(-1))
    table = pa.table(
        {
            "item_id": pa.array(trained.item_ids, pa.string()),
            "text": pa.array(trained.texts, pa.string()),
            "category": pa.array(categories, pa.string()),
            "blocked": pa.array(np.asarray(trained.blocked, bool)),
            "warm": pa.array(np.asarray(trained.warm, bool)),
            "vector": pa.ListArray.from_arrays(pa.array(offsets), values),
        }
    )
    pq.write_table(table, path, compression="zstd")
