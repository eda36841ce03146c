"""The leakage check finds every leak that is put into a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dualtower_trainer.data import Dataset, Split, SplitConfig, check_leakage, split

DAY_S = 86_400
T0_S = 1_480_550_400  # 2016-12-01T00:00Z
ITEMS = [f"item-{n}" for n in range(25)]
# over all segments, with items that are always warm
LOG = [("user-0", item, T0_S + day * DAY_S, 1.0) for item in ITEMS[:6] for day in (0, 30, 40)]
CONFIG = SplitConfig(validation_days=10, test_days=7, cold_share=0.3)


def _promises_broken(dataset: Dataset, parts: Split) -> set[str]:
    return {check.promise for check in check_leakage(dataset, parts) if not check.passed}


def test_leaks_are_found(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(LOG, ITEMS)
    parts = split(dataset, CONFIG)
    held, train = parts.test, parts.train
    cold_row = int(np.flatnonzero(parts.cold)[0])
    unseen = int(np.flatnonzero(~parts.warm & ~parts.cold)[0])

    def with_test(**changes: object) -> set[str]:
        return _promises_broken(dataset, replace(parts, test=replace(held, **changes)))

    history = held.histories[0]
    assert "test: no target in its history" in with_test(warm_targets=[history[:1]])
    assert "test: histories lie before the segment" in with_test(
        histories=[np.append(history, np.int32(unseen))]
    )
    assert "test: no cold item in a history" in with_test(
        histories=[np.append(history, np.int32(cold_row))]
    )
    assert "test: warm targets are in train" in with_test(
        warm_targets=[np.array([unseen], np.int32)]
    )
    assert "test: targets lie in the segment" in with_test(
        warm_targets=[np.array([unseen], np.int32)]
    )
    late = replace(train, timestamps=train.timestamps + 60 * DAY_S)
    assert "train ends before validation" in _promises_broken(dataset, replace(parts, train=late))
    for row, promise in (
        (cold_row, "no cold item in train"),
        (unseen, "train rows are in the log"),
        (unseen, "train ends before validation"),
    ):
        changed = replace(train, items=np.full_like(train.items, row))
        assert promise in _promises_broken(dataset, replace(parts, train=changed))


def test_leaks_of_leave_last_out_are_found(make_dataset: Callable[..., Dataset]) -> None:
    rows = [("u", item, T0_S + n * DAY_S) for n, item in enumerate("abcd")]
    rows += [("v", item, T0_S + n * DAY_S) for n, item in enumerate("dcba")]
    dataset = make_dataset(rows, "abcd")
    parts = split(dataset, SplitConfig(kind="last", test_share=0.1))
    held, names = parts.test, parts.catalogue.item_ids
    assert [list(names[rows]) for rows in held.warm_targets] == [["d"], ["a"]]
    assert _promises_broken(dataset, parts) == set()
    swapped = replace(held, histories=held.warm_targets, warm_targets=held.histories)
    assert _promises_broken(dataset, replace(parts, test=swapped)) >= {
        "test: no target before its history",
        "test: one target to a user",
        "test: no target is trained on",
    }
    assert "train is part of train with validation" in _promises_broken(
        dataset, replace(parts, full=parts.full.where(parts.full.users == 0))
    )
