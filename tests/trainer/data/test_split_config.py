"""What each setting of [split] does, on logs small enough to be split by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_trainer.data import Dataset, SplitConfig, split
from dualtower_trainer.data.splitting import cold_fraction

DAY_S = 86_400
T0_S = 1_480_550_400  # 2016-12-01T00:00Z
ITEMS = [f"item-{n}" for n in range(25)]
# over all segments, with items that are always warm
LOG = [("user-0", item, T0_S + day * DAY_S, 1.0) for item in ITEMS[:6] for day in (0, 30, 40)]


@pytest.mark.parametrize("sizes", [(1, 1), (1, 99), (50, 3, 40, 7), (7,) * 100])
def test_a_share_is_met_as_nearly_as_equal_times_allow(sizes: tuple[int, ...]) -> None:
    moments = [T0_S + place * 10 for place, size in enumerate(sizes) for _ in range(size)]
    times_s = np.array(moments)
    cut_s, end_s = SplitConfig(validation_share=0.15).boundaries_s(times_s)
    assert end_s == moments[-1] + 1
    found = (times_s >= cut_s).mean()
    possible = [(times_s >= moment).mean() for moment in sorted(set(moments))[1:]]
    assert abs(found - 0.15) == min(abs(share - 0.15) for share in possible)


def test_boundaries_are_half_open(make_dataset: Callable[..., Dataset]) -> None:
    start, cut = "2017-01-10", 1_484_006_400
    rows = [
        ("u", "a", cut - 1),
        ("u", "b", cut),
        ("u", "c", cut + 5 * DAY_S - 1),
        ("u", "a", cut + 5 * DAY_S),
        ("w", "b", cut - 5),
        ("w", "c", cut - 5),
        ("w", "d", cut - 5),
        ("u", "d", cut + 5 * DAY_S),
    ]
    config = SplitConfig(cold_share=0, validation_start=start, test_start="2017-01-15T00:00:00Z")
    parts = split(make_dataset(rows, "abcd"), config)
    names = parts.catalogue.item_ids
    assert [list(names[rows]) for rows in parts.validation.histories] == [["a"]]
    assert [list(names[rows]) for rows in parts.validation.warm_targets] == [["b", "c"]]
    assert [list(names[rows]) for rows in parts.test.histories] == [["c", "b", "a"]]
    assert [list(names[rows]) for rows in parts.test.warm_targets] == [["d"]]


def test_train_is_sorted_by_user_and_then_newest_first(
    make_dataset: Callable[..., Dataset],
) -> None:
    train = split(
        make_dataset(LOG, ITEMS), SplitConfig(validation_days=10, test_days=7, cold_share=0.3)
    ).train
    keys = list(zip(train.users, -train.timestamps, train.items, strict=True))
    assert keys == sorted(keys)


def test_min_history(make_dataset: Callable[..., Dataset]) -> None:
    rows = [("u", item, T0_S + n) for n, item in enumerate("abc")]
    rows += [("v", "a", T0_S), ("v", "b", T0_S + 35 * DAY_S), ("u", "d", T0_S + 35 * DAY_S)]
    rows += [("w", "d", T0_S), ("w", "b", T0_S + 25 * DAY_S)]
    dataset = make_dataset(rows, "abcd")
    config = SplitConfig(validation_days=10, test_days=7, cold_share=0, min_history=2)
    parts = split(dataset, config)
    assert parts.test.user_ids.tolist() == ["u"]
    assert parts.report["test"]["dropped_users"] == {"short_history": 1, "no_target": 0}
    assert parts.report["validation"]["dropped_users"] == {"short_history": 1, "no_target": 0}


def test_the_share_of_cold_items_is_kept_by_the_hash() -> None:
    fractions = np.array([cold_fraction(f"cj{n}", "cold-v1") for n in range(20_000)])
    assert abs((fractions < 0.15).mean() - 0.15) < 0.01
    assert cold_fraction("85123A", "cold-v1") == (
        int(hashlib.md5(b"cold-v185123A").hexdigest(), 16) / 2**128
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "leave-one-out"}, "one of auto, time, last, random, got 'leave-one-out'"),
        ({"validation_days": -1}, "validation_days"),
        ({"validation_share": 0}, "validation_share"),
        ({"test_share": 1}, "test_share"),
        ({"test_share": 0.1, "test_days": 7}, "test_days or test_share, got both: 7 and 0.1"),
        ({"test_days": -1}, "test_days"),
        ({"test_days": float("nan")}, "test_days"),
        ({"cold_share": 1.0}, "cold_share"),
        ({"min_history": 0}, "min_history"),
        ({"test_start": "in spring"}, "ISO date such as 2017-12-01, got 'in spring'"),
    ],
)
def test_the_configuration_is_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig(**changes)  # type: ignore[arg-type]


def test_a_log_that_is_too_short_says_how_long_it_is(make_dataset: Callable[..., Dataset]) -> None:
    rows = [("u", "item-0", T0_S + day * DAY_S, 1.0) for day in range(10)]
    with pytest.raises(DataError, match="from 2016-12-01T00:00:00Z to 2016-12-10T00:00:00Z"):
        split(make_dataset(rows, ITEMS), SplitConfig(validation_days=28, test_days=28))
    with pytest.raises(DataError, match="cannot be cut"):
        split(make_dataset(rows, ITEMS), SplitConfig(test_start="2018-01-01"))
    with pytest.raises(DataError, match="cannot be cut"):
        split(
            make_dataset(rows, ITEMS),
            SplitConfig(test_start="2016-12-05", validation_start="2016-12-06"),
        )


def test_what_a_log_without_times_cannot_be(make_dataset: Callable[..., Dataset]) -> None:
    rows = [(f"u{n}", item, 0, 1.0) for n in range(9) for item in ITEMS]
    assert split(make_dataset(rows, ITEMS)).kind == "random"
    for kind in ("time", "last"):
        with pytest.raises(DataError, match=f"'{kind}', and the log has no times"):
            split(make_dataset(rows, ITEMS), SplitConfig(kind=kind))
    with pytest.raises(DataError, match=r"split.test_days cannot be met; give split.validation_sh"):
        split(make_dataset(rows, ITEMS), SplitConfig(test_days=28))


def test_nothing_warm_to_train_on(make_dataset: Callable[..., Dataset]) -> None:
    cold_item = next(item for item in ITEMS if cold_fraction(item, "cold-v1") < 0.3)
    rows = [("u", cold_item, T0_S, 1.0), ("u", "item-0", T0_S + 40 * DAY_S, 1.0)]
    with pytest.raises(DataError, match="cold_share"):
        split(
            make_dataset(rows, ITEMS), SplitConfig(validation_days=10, test_days=7, cold_share=0.3)
        )
