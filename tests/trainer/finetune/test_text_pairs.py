"""Pairs out of a log, counted by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_trainer.data import Interactions
from dualtower_trainer.finetune.text_pairs import history_pairs, text_pairs

TEXTS = ["tea", "cup", "wine", "glass"]


def log(*events: tuple[int, int, int]) -> Interactions:
    users, items, times = np.asarray(events).T
    return Interactions(
        users.astype(np.int32), items.astype(np.int32), times.astype(np.int64),
        np.ones(len(users), np.float32), np.asarray(["a", "b"], object),
    )  # fmt: skip


def test_a_history_is_read_backwards_and_ends_before_the_next() -> None:
    events = log((1, 3, 5), (0, 2, 30), (0, 0, 10), (0, 1, 20), (1, 2, 4))
    texts, pairs = history_pairs(events, TEXTS, items=2, per_user=9, seed=0)
    got = {(texts[a], texts[p]) for a, p in zip(pairs.anchor, pairs.positive, strict=True)}
    assert got == {("tea", "cup"), ("cup, tea", "wine"), ("wine", "glass")}
    assert texts[:4] == TEXTS
    assert pairs.anchor.min() >= 4


def test_an_item_that_is_in_the_history_is_no_next_item() -> None:
    texts, pairs = history_pairs(
        log((0, 0, 1), (0, 1, 2), (0, 0, 3)), TEXTS, items=3, per_user=9, seed=0
    )
    assert [texts[row] for row in pairs.positive] == ["cup"]


def test_moments_of_a_user_are_bounded() -> None:
    events = log(*((0, n % 4, n) for n in range(60)), (1, 1, 1), (1, 2, 2))
    _, pairs = history_pairs(events, TEXTS, items=2, per_user=5, seed=0)
    assert len(pairs) == 6
    _, again = history_pairs(events, TEXTS, items=2, per_user=5, seed=0)
    np.testing.assert_array_equal(pairs.positive, again.positive)


def test_nobody_took_two_items() -> None:
    with pytest.raises(DataError, match="nobody took two different items"):
        history_pairs(log((0, 0, 1), (1, 1, 1)), TEXTS, items=2, per_user=5, seed=0)


def test_the_setting_chooses(settings) -> None:
    events = log((0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 1, 2))
    texts, pairs = text_pairs(events, TEXTS, settings)
    assert texts == TEXTS
    assert {(0, 1), (1, 0)} == set(zip(pairs.anchor.tolist(), pairs.positive.tolist(), strict=True))
    texts, _ = text_pairs(events, TEXTS, dataclasses.replace(settings, pairs="histories"))
    assert len(texts) == 6
