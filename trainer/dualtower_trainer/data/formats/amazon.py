"""Amazon Reviews of 2018 and of 2023: a review is an interaction, the metadata are the items.

    2018  reviews*.json.gz   reviewerID, asin, overall, unixReviewTime (seconds)
          meta_*.json.gz     asin, title, feature [..], brand, category [..], main_cat
    2023  *.jsonl.gz         user_id, parent_asin, rating, timestamp (milliseconds)
          meta_*.jsonl.gz    parent_asin, title, features [..], store, categories [..],
                             main_category

Which of the two a file is shows in its keys, line by line. Ni, Li and McAuley, EMNLP 2019; Hou et
al., arXiv:2403.03952. The pages of 2018 left HTML in some fields, and the script of a page in place
of some titles.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dualtower_trainer.data.formats.opened import Adapted, FormatOptions, Opened, fill_template
from dualtower_trainer.data.json_records import json_objects, json_text
from dualtower_trainer.data.record import Record
from dualtower_trainer.data.text_lines import file_head

__all__ = ["AMAZON_FIELDS", "open_amazon"]

AMAZON_FIELDS = ("title", "features", "brand", "category", "categories")
_TAG = re.compile(r"<[^<>]*>")
_SCRIPT = ("getTime", "var aPageStart")


def open_amazon(interactions: Path, items: Path, options: FormatOptions) -> Opened:
    """Reviews as interactions, products as items."""
    for path in (interactions, items):
        file_head(path, "JSON Lines")
    template = options.text_template or ""
    return Opened(
        Adapted(
            interactions,
            ("user_id", "item_id", "rating", "timestamp"),
            lambda: _reviews(interactions),
        ),
        Adapted(items, ("item_id", "text", "category"), lambda: _products(items, template)),
        text_template=template,
    )


def _reviews(path: Path) -> Iterator[Record]:
    for line, review, problem, raw in json_objects(path):
        if "user_id" in review:
            keys = ("user_id", "parent_asin", "rating", "timestamp")
        else:
            keys = ("reviewerID", "asin", "overall", "unixReviewTime")
        missing = next((key for key in keys if key not in review), None)
        if not problem and missing:
            problem = f"no key {missing!r}"
        yield Record(line, [json_text(review.get(key)) for key in keys], problem, raw)


def _products(path: Path, template: str) -> Iterator[Record]:
    for line, product, problem, raw in json_objects(path):
        item_id = json_text(product.get("parent_asin") or product.get("asin"))
        fields = _product_fields(product)
        if not problem and any(mark in fields["title"] for mark in _SCRIPT):
            problem = "the title is a script"
        text = fill_template(template, fields) if fields["title"] else ""
        yield Record(line, [item_id, text, fields["category"]], problem, raw)


def _product_fields(product: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a template, of either year, without HTML."""
    path = product.get("categories") or product.get("category") or []
    names = [_plain(json_text(name)) for name in path] if isinstance(path, list) else []
    category = _plain(json_text(product.get("main_category") or product.get("main_cat")))
    features = product.get("features") or product.get("feature")
    return {
        "title": _plain(json_text(product.get("title"))),
        "features": _plain(json_text(features)),
        "brand": _plain(json_text(product.get("store") or product.get("brand"))),
        "category": category or (names[0] if names else ""),
        "categories": ", ".join(filter(None, names)),
    }


def _plain(text: str) -> str:
    """Text without tags and entities, each white space one blank."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())
