"""The products of the Complete Journey log as items: which are goods, and what they read.

Products that read the same (type, category, brand and size) are one item.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["Group", "group_products", "item_text"]

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


@dataclass(frozen=True)
class Group:
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


def group_products(products: pa.Table) -> tuple[dict[int, Group], dict[str, list[int]]]:
    """The group of every product that is a good, and the ids of the others by reason."""
    groups: dict[int, Group] = {}
    by_text: dict[str, Group] = {}
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
            group = by_text.setdefault(text, Group(product["product_id"], text, named))
            groups[product["product_id"]] = group
    return groups, dropped
