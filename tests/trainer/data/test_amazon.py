"""Amazon Reviews of 2018 and 2023, and JSON Lines of one's own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError
from dualtower_trainer.data import FileOptions, import_files

REVIEWS_2018 = [
    {"overall": 5.0, "verified": True, "reviewTime": "09 1, 2016", "reviewerID": "A3CIUOJXQ5VDQ2",
     "asin": "B0000530HU", "style": {"Size:": " 7.0 oz"}, "reviewerName": "Shelly F",
     "reviewText": "As advertised.", "summary": "Five Stars", "unixReviewTime": 1472688000},
    {"overall": 2.0, "verified": False, "reviewerID": "A3H7T87S984REU", "asin": "B00006L9LC",
     "unixReviewTime": 1478736000, "image": ["https://x.jpg"]},
    {"overall": 4.0, "reviewerID": "A3H7T87S984REU", "asin": "B0000530HU",
     "unixReviewTime": 1478736001},
]  # fmt: skip
META_2018 = [
    {"category": ["All Beauty"], "tech1": "", "description": ["Classic"], "fit": "",
     "title": "Aqua Velva &amp; After Shave, 7 Ounce", "also_buy": [], "tech2": "",
     "brand": "Aqua Velva", "feature": ["Blue  <b>ice</b>", "7 oz"], "rank": "65,003",
     "main_cat": "<img src=\"x.jpg\"/> All Beauty", "price": "$9", "asin": "B0000530HU"},
    {"category": [], "title": "Citre Shine", "brand": "", "main_cat": "", "asin": "B00006L9LC"},
    {"category": [], "title": "var aPageStart = (new Date()).getTime();", "asin": "B9"},
]  # fmt: skip
REVIEWS_2023 = [
    {"rating": 5.0, "title": "Such a lovely scent", "text": "This spray is nice.", "images": [],
     "asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8EP", "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
     "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": True},
    {"rating": 3.0, "asin": "B2", "parent_asin": "B081TJ8YS3", "user_id": "AG2", "title": "",
     "timestamp": 1588615855070},
]  # fmt: skip
META_2023 = [
    {"main_category": "All Beauty", "title": "Herbivore Sea Mist", "average_rating": 4.3,
     "rating_number": 178, "features": ["Coconut", "3.7 oz"], "description": [], "price": None,
     "images": [], "videos": [], "store": "Herbivore", "categories": [], "details": {"a": "b"},
     "parent_asin": "B00YQ6X8EP", "bought_together": None},
    {"main_category": None, "title": "Yes to Tomatoes", "features": [], "store": None,
     "categories": ["Beauty", "Skin Care"], "parent_asin": "B081TJ8YS3"},
]  # fmt: skip
AMAZON = FileOptions(format="amazon")


def _write(path: Path, objects: Sequence[Any]) -> Path:
    text = "".join(json.dumps(value) + "\n" for value in objects)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_2018(tmp_path: Path) -> None:
    report = import_files(
        _write(tmp_path / "reviews_5.json.gz", REVIEWS_2018),
        _write(tmp_path / "meta_All_Beauty.json.gz", META_2018),
        tmp_path / "out",
        AMAZON,
    )
    assert pq.read_table(tmp_path / "out" / "items.parquet").to_pylist() == [
        {"item_id": "B0000530HU", "text": "Aqua Velva & After Shave, 7 Ounce. Blue ice 7 oz"}
        | {"category": "All Beauty", "blocked": False},
        {"item_id": "B00006L9LC", "text": "Citre Shine", "category": None, "blocked": False},
    ]
    found = pq.read_table(tmp_path / "out" / "interactions.parquet").to_pylist()
    assert [(r["user_id"], r["item_id"], r["timestamp"], r["rating"]) for r in found] == [
        ("A3CIUOJXQ5VDQ2", "B0000530HU", 1472688000, 5.0),
        ("A3H7T87S984REU", "B00006L9LC", 1478736000, 2.0),
        ("A3H7T87S984REU", "B0000530HU", 1478736001, 4.0),
    ]
    assert report["items_file"]["quarantined"] == {"the title is a script": 1}


def test_2023(tmp_path: Path) -> None:
    import_files(
        _write(tmp_path / "All_Beauty.jsonl.gz", REVIEWS_2023),
        _write(tmp_path / "meta_All_Beauty.jsonl.gz", META_2023),
        tmp_path / "out",
        FileOptions(format="amazon", text_template="{title} by {brand}"),
    )
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert [(item["text"], item["category"]) for item in items] == [
        ("Herbivore Sea Mist by Herbivore", "All Beauty"),
        ("Yes to Tomatoes", "Beauty"),
    ]
    found = pq.read_table(tmp_path / "out" / "interactions.parquet").to_pylist()
    assert [(r["user_id"], r["item_id"], r["timestamp"]) for r in found] == [
        ("AG2", "B081TJ8YS3", 1588615855),
        ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B00YQ6X8EP", 1588687728),
    ]


def test_bad_lines(tmp_path: Path) -> None:
    reviews = tmp_path / "reviews.json"
    lines = [json.dumps(review) for review in REVIEWS_2018]
    deep = "[" * 100_000
    lines += ['{"asin": "B9"', "[1]", '{"reviewerID": "A", "asin": "B0000530HU"}', "", deep]
    reviews.write_text("\n".join(lines))
    meta = _write(tmp_path / "meta.json", META_2018)
    options = FileOptions(format="amazon", max_bad_share=0.9, min_rating=4)
    report = import_files(reviews, meta, tmp_path / "out", options)
    assert report["interactions_file"]["quarantined"] == {
        "not JSON": 2,
        "not a JSON object": 1,
        "no key 'overall'": 1,
    }
    assert report["interactions_file"]["left_out"] == {"rating below 4": 1}
    rows = (tmp_path / "out" / "quarantine.csv").read_text().splitlines()
    assert any(",6,no key 'overall'," in row for row in rows)


def test_json_lines_of_ones_own(tmp_path: Path) -> None:
    log = [
        {"who": 7, "item_id": 12.0, "timestamp": 1500000000.5, "event": None},
        {"who": "ann", "item_id": "b", "timestamp": "2017-07-14T02:40:00Z", "late key": 1},
        {"item_id": "b", "timestamp": 1},
    ]
    items = [
        {"item_id": 12, "title": ["Red", "cup"], "blocked": True},
        {"item_id": "b", "title": "Blue \u00fc cup", "extra": {"nested": [1, 2]}},
    ]
    report = import_files(
        _write(tmp_path / "log.jsonl", log),
        _write(tmp_path / "items.jsonl.gz", items),
        tmp_path / "out",
        FileOptions(columns={"user_id": "who"}),
    )
    found = pq.read_table(tmp_path / "out" / "interactions.parquet").to_pylist()
    assert [(r["user_id"], r["item_id"], r["timestamp"]) for r in found] == [
        ("7", "12", 1500000000),
        ("ann", "b", 1500000000),
    ]
    assert report["interactions_file"]["quarantined"] == {"empty user id": 1}
    texts = pq.read_table(tmp_path / "out" / "items.parquet")
    assert texts["text"].to_pylist() == ["Red cup", "Blue ü cup"]
    assert texts["blocked"].to_pylist() == [True, False]


def test_what_is_no_json_lines(tmp_path: Path) -> None:
    items = _write(tmp_path / "items.jsonl", [{"item_id": "a", "text": "b"}])
    (tmp_path / "log.json").write_text("[\n]\n")
    with pytest.raises(DataError, match="is not JSON Lines"):
        import_files(tmp_path / "log.json", items, tmp_path / "out")
    with pytest.raises(DataError, match="cannot be read"):
        import_files(tmp_path / "none.jsonl", items, tmp_path / "out", AMAZON)
