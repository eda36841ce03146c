"""The split against a slow oracle in plain Python that shares nothing with it."""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_trainer.data import (
    Catalogue,
    Dataset,
    Heldout,
    Interactions,
    SplitConfig,
    check_leakage,
    split,
)

DAY_S = 86_400
T0_S = 1_480_550_400  # 2016-12-01T00:00Z
ITEMS = [f"item-{n}" for n in range(25)]
BLOCKED = {"item-3", "item-17"}
CONFIG = SplitConfig(validation_days=10, test_days=7, cold_share=0.3)
LAST = SplitConfig(kind="last", test_share=0.1, cold_share=0.3)
RANDOM = SplitConfig(kind="random", validation_share=0.3, test_share=0.2, cold_share=0.3)
SHARES = SplitConfig(validation_share=0.3, test_share=0.2, cold_share=0.3)
Row = tuple[str, str, int, float]

ROWS = st.lists(
    st.tuples(
        st.sampled_from([f"user-{n}" for n in range(8)]),
        st.sampled_from(ITEMS),
        st.integers(0, 40 * 24).map(lambda hours: T0_S + hours * 3600),
        st.sampled_from([1.0, 0.5, 3.0]),
    ),
    max_size=120,
).map(lambda rows: [*rows, *ENDS])
# the log reaches over all segments, and something warm is always in train
ENDS: list[Row] = [
    ("user-0", item, T0_S + day * DAY_S, 1.0) for item in ITEMS[:6] for day in (0, 30, 40)
]


def _dataset(rows: list[Row]) -> Dataset:
    user_ids = np.array(sorted({row[0] for row in rows}), object)
    place = {user: code for code, user in enumerate(user_ids)}
    catalogue = Catalogue(
        np.array(ITEMS, object),
        np.array([f"text of {item}" for item in ITEMS], object),
        None,
        np.array([item in BLOCKED for item in ITEMS]),
    )
    log = Interactions(
        np.array([place[row[0]] for row in rows], np.int32),
        np.array([ITEMS.index(row[1]) for row in rows], np.int32),
        np.array([row[2] for row in rows], np.int64),
        np.array([row[3] for row in rows], np.float32),
        user_ids,
    )
    return Dataset(catalogue, log, Path("nowhere"), 0)


def _is_cold(item: str) -> bool:
    return int(hashlib.md5(f"cold-v1{item}".encode()).hexdigest(), 16) < 0.3 * 2**128


def _oracle_train(
    rows: list[Row], start_s: float = math.inf, *, all_warm: bool = False
) -> dict[tuple[str, str], tuple[int, float]]:
    merged: dict[tuple[str, str], tuple[int, float]] = {}
    for user, item, time_s, weight in rows:
        if time_s < start_s and (all_warm or not _is_cold(item)):
            before = merged.get((user, item), (0, 0.0))
            merged[user, item] = (max(before[0], time_s), before[1] + weight)
    return merged


def _oracle_heldout(
    rows: list[Row], warm: set[str], start_s: int, end_s: int
) -> dict[str, tuple[list[str], set[str], set[str]]]:
    history: dict[str, dict[str, int]] = defaultdict(dict)
    warm_targets, cold_targets = defaultdict(set), defaultdict(set)
    for user, item, time_s, _ in rows:
        if time_s < start_s and not _is_cold(item):
            history[user][item] = max(history[user].get(item, 0), time_s)
    for user, item, time_s, _ in rows:
        if not start_s <= time_s < end_s or item in BLOCKED:
            continue
        if _is_cold(item):
            cold_targets[user].add(item)
        elif item in warm and item not in history[user]:
            warm_targets[user].add(item)
    held = {}
    for user, items in history.items():
        if items and (warm_targets[user] or cold_targets[user]):
            newest = sorted(items, key=lambda item: (-items[item], ITEMS.index(item)))
            held[user] = (newest, warm_targets[user], cold_targets[user])
    return held


def _heldout(held: Heldout) -> dict[str, tuple[list[str], set[str], set[str]]]:
    names = [
        [[ITEMS[row] for row in rows] for rows in lists]
        for lists in (held.histories, held.warm_targets, held.cold_targets)
    ]
    for lists in names:
        assert all(len(rows) == len(set(rows)) for rows in lists)
    return {
        user: (history, set(warm), set(cold))
        for user, history, warm, cold in zip(held.user_ids, *names, strict=True)
    }


def _merged(part: Interactions) -> dict[tuple[str, str], tuple[int, float]]:
    columns = zip(part.users, part.items, part.timestamps, part.weights, strict=True)
    found = {
        (part.user_ids[user], ITEMS[item]): (int(time_s), float(weight))
        for user, item, time_s, weight in columns
    }
    assert len(found) == len(part)
    return found


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_equals_the_oracle(rows: list[Row]) -> None:
    parts = split(_dataset(rows), CONFIG)
    end_s = (max(row[2] for row in rows) // DAY_S + 1) * DAY_S
    test_s = end_s - 7 * DAY_S
    validation_s = test_s - 10 * DAY_S

    train = _oracle_train(rows, validation_s)
    assert _merged(parts.train) == train
    assert _merged(parts.full) == _oracle_train(rows, test_s)
    warm = {item for _, item in train}
    assert {ITEMS[row] for row in np.flatnonzero(parts.warm)} == warm
    assert {ITEMS[row] for row in np.flatnonzero(parts.cold)} == set(filter(_is_cold, ITEMS))
    assert _heldout(parts.validation) == _oracle_heldout(rows, warm, validation_s, test_s)
    assert _heldout(parts.test) == _oracle_heldout(rows, warm, test_s, end_s)
    assert parts.judged is parts.test

    again = split(_dataset(rows), CONFIG, refit=True)
    full = _oracle_train(rows, test_s)
    full_warm = {item for _, item in full}
    assert {ITEMS[row] for row in np.flatnonzero(parts.full_warm)} == full_warm
    assert _merged(again.train) == _merged(again.full) == full
    assert _heldout(again.test) == _oracle_heldout(rows, full_warm, test_s, end_s)
    assert len(again.validation) == 0


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_leave_last_out_equals_the_oracle(rows: list[Row]) -> None:
    """One user at a time: the items by when they were first taken, and everything before a cut.

    Which of several items of one moment is the last is the split's own choice (by hash), so times
    are compared where that matters.
    """
    parts = split(_dataset(rows), LAST)
    held = {"validation": _heldout(parts.validation), "test": _heldout(parts.test)}
    train = _merged(parts.train)
    for user in {row[0] for row in rows}:
        first: dict[str, int] = {}
        for _, item, time_s, _ in sorted(row for row in rows if row[0] == user):
            first[item] = min(first.get(item, time_s), time_s)
        taken = sorted(first.values())
        hidden: set[str] = set()
        for name, place in (("test", 1), ("validation", 2)):
            if user not in held[name]:
                continue
            history, warm, cold = held[name][user]
            (target,) = warm | cold
            assert first[target] == taken[-place]
            visible = [row for row in rows if row[0] == user and row[2] <= first[target]]
            hidden.add(target)
            before = {row[1] for row in visible if not _is_cold(row[1])} - hidden
            assert first[target] > max((first[item] for item in history), default=0) or (
                taken.count(first[target]) > 1
            )
            assert set(history) <= before
            same_moment = {item for item in before if first[item] == first[target]}
            assert before - set(history) <= same_moment
        assert not {item for owner, item in train if owner == user} & hidden


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_a_random_split_keeps_pairs_together(rows: list[Row]) -> None:
    dataset = _dataset(rows)
    parts = split(dataset, RANDOM)
    train, full = _merged(parts.train), _merged(parts.full)
    whole = _oracle_train(rows)
    assert all(whole[pair] == found for pair, found in train.items())
    assert all(whole[pair] == found for pair, found in full.items())
    for held, trained in ((parts.validation, train), (parts.test, full)):
        for user, (history, warm, cold) in _heldout(held).items():
            assert {item for owner, item in trained if owner == user} == set(history)
            assert not (warm | cold) & set(history)


def test_random_shares_and_that_a_pair_keeps_its_segment() -> None:
    rows = [(f"u{n % 400}", ITEMS[n // 400], T0_S, 1.0) for n in range(400 * len(ITEMS))]
    config = SplitConfig(validation_share=0.2, test_share=0.1)
    parts = split(_dataset(rows), config)
    assert parts.kind == "random"
    assert "first" not in parts.report
    assert abs(len(parts.full) / len(rows) - 0.9) < 0.01
    assert abs(len(parts.train) / len(rows) - 0.9 * 0.8) < 0.015
    half = split(_dataset(rows[::2]), config)
    assert _merged(half.train).items() <= _merged(parts.train).items()
    per_user = np.bincount(parts.train.users)
    assert 0.5 < per_user.std() / math.sqrt(len(ITEMS) * 0.72 * 0.28) < 1.5  # as of a fair coin
    assert 0.5 < np.bincount(parts.train.items).std() / math.sqrt(400 * 0.72 * 0.28) < 1.5


def test_the_default_has_no_test_and_validates_on_the_last_part() -> None:
    rows = [(f"u{n % 9}", ITEMS[n % 25], T0_S + n * 60, 1.0) for n in range(1000)]
    parts = split(_dataset(rows))
    assert parts.kind == "time"
    assert parts.report["validation"]["rows"] == 150
    assert parts.report["test"]["rows"] == len(parts.test) == 0
    assert "test_start" not in parts.report
    assert parts.judged is parts.validation
    assert not parts.cold.any()
    assert _merged(parts.full) == _oracle_train(rows, all_warm=True)


@pytest.mark.parametrize("config", [CONFIG, LAST, RANDOM, SHARES])
@settings(max_examples=25, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(
    config: SplitConfig, rows: list[Row], shuffler: random.Random
) -> None:
    one = split(_dataset(rows), config)
    shuffler.shuffle(rows)
    two = split(_dataset(rows), config)
    assert one.report == two.report
    for name in ("users", "items", "timestamps", "weights"):
        np.testing.assert_array_equal(getattr(one.train, name), getattr(two.train, name))
    for part in ("validation", "test"):
        for name in ("users", "histories", "warm_targets", "cold_targets"):
            ours, theirs = (getattr(getattr(parts, part), name) for parts in (one, two))
            assert len(ours) == len(theirs)
            for left, right in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("config", [CONFIG, LAST, RANDOM, SHARES])
@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_no_promise_is_broken_and_no_row_is_lost(
    config: SplitConfig, refit: bool, rows: list[Row]
) -> None:
    dataset = _dataset(rows)
    parts = split(dataset, config, refit=refit)
    assert [check.promise for check in check_leakage(dataset, parts) if not check.passed] == []
    report, train = parts.report, parts.report["train"]
    segments = (report["validation"], report["test"])
    held_rows = sum(s["rows"] for s in segments) + report["later_repeat_rows"]
    assert train["rows_before_validation"] + held_rows == len(rows)
    assert (
        train["dropped_cold_rows"] + train["merged_repeat_rows"] + train["interactions"]
        == train["rows_before_validation"]
    )
    for segment in segments:
        targets = segment["warm_targets"] + segment["cold_targets"]
        dropped = sum(segment["dropped_targets"].values())
        assert segment["rows"] == segment["merged_repeat_rows"] + dropped + targets
