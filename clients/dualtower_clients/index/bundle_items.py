"""The catalogue of a bundle as items: `index/catalogue.parquet`, with its digest checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualtower.bundle import Bundle, sha256_of
from dualtower.errors import BundleError, UsageError
from dualtower_clients.index.checks import read_items, read_vectors
from dualtower_clients.index.extras import optional_module
from dualtower_clients.index.items import Items

__all__ = ["read_bundle_items"]

_COLUMNS = ["item_id", "category", "blocked", "vector"]


def read_bundle_items(bundle: Bundle) -> Items:
    """The items of a bundle but those that it blocks, which are never recommended.

    Raises:
        BundleError: the catalogue is missing, was changed, or does not fit the manifest.
        UnavailableError: pyarrow is not installed.
    """
    arrow = optional_module("pyarrow", extra="bulk", purpose="reading the catalogue of a bundle")
    parquet = optional_module("pyarrow.parquet", extra="bulk", purpose="reading Parquet")
    path = bundle.catalogue_path
    name = path.relative_to(bundle.path).as_posix()
    try:
        if sha256_of(path) != bundle.manifest["files"][name]["sha256"]:
            raise BundleError(f"{path} was changed after the export; run: dualtower verify")
        table = parquet.read_table(path, columns=_COLUMNS)
        return _items(table, bundle)
    except (OSError, KeyError, ValueError, UsageError, arrow.ArrowException) as error:
        raise BundleError(f"{path} cannot be read ({error}); export the bundle again") from error


def _items(table: Any, bundle: Bundle) -> Items:
    values = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = read_vectors(
        values.reshape(table.num_rows, -1) if table.num_rows else values.reshape(0, bundle.dim),
        dim=bundle.dim,
        fingerprint=bundle.fingerprint,
    )
    items = read_items(table["item_id"].to_pylist(), vectors, table["category"].to_pylist())
    blocked = table["blocked"].to_numpy()
    return items.taken(~blocked) if np.any(blocked) else items
