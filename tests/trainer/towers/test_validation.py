"""What validation says of scores, against a loop over users and items."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dualtower_trainer.closed_form.choose import is_gain
from dualtower_trainer.data import SplitConfig, load_dataset, split
from dualtower_trainer.user_logs import rows_by_user
from dualtower_trainer.validation import Look, Validation

CONFIG = SplitConfig(validation_days=30, cold_share=0.15)


@pytest.fixture(scope="module")
def parts(shop: Path):
    return split(load_dataset(shop), CONFIG)


@pytest.fixture(scope="module")
def scores(parts) -> np.ndarray:
    shape = (len(parts.validation) + 400, len(parts.catalogue))
    return np.random.default_rng(0).random(shape).astype(np.float32)


def metrics(ranked: list[int], wanted: list[int]) -> tuple[float, float]:
    hits = [item in wanted for item in ranked[:20]]
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
    best = sum(1 / math.log2(place + 2) for place in range(min(20, len(wanted))))
    return sum(hits) / min(20, len(wanted)), gain / best


def looped(candidates: np.ndarray, histories, targets, scores) -> np.ndarray:
    found = []
    for row, (history, wanted) in enumerate(zip(histories, targets, strict=True)):
        allowed = set(np.flatnonzero(candidates).tolist()) - set(history.tolist())
        ranked = sorted(allowed, key=lambda item: (-scores[row, item], item))
        found.append(metrics(ranked, wanted.tolist()) if len(wanted) else (np.nan, np.nan))
    return np.array(found).T


def test_a_look_is_a_loop(parts, scores: np.ndarray) -> None:
    validation = Validation(parts, limit=10**6)
    held = parts.validation
    assert len(validation) == len(held)
    look = validation.look(lambda places: scores[places].copy())
    recall, ndcg = looped(parts.warm, held.histories, held.warm_targets, scores)
    np.testing.assert_allclose(look.recall, recall)
    np.testing.assert_allclose(look.ndcg, ndcg)
    recall, ndcg = looped(~parts.warm, held.histories, held.cold_targets, scores)
    np.testing.assert_allclose(look.cold_recall, recall)
    np.testing.assert_allclose(look.cold_ndcg, ndcg)
    assert validation.asked == sum(len(targets) > 0 for targets in held.warm_targets)


def test_hidden_items_are_asked_of_whoever_took_them_in_the_log(
    shop: Path, parts, scores: np.ndarray
) -> None:
    """By what else these people took; nothing of the validation period is asked cold then."""
    everything = split(load_dataset(shop), SplitConfig(validation_days=30)).train
    validation = Validation(parts, limit=10**6, with_cold=everything)
    look = validation.look(lambda places: scores[places].copy())
    expected = {}
    for user in np.unique(everything.users):
        rows = everything.items[everything.users == user]
        hidden, rest = rows[parts.cold[rows]], rows[~parts.cold[rows]]
        if len(hidden) and len(rest):
            expected[frozenset(rest.tolist())] = set(hidden.tolist())
    asked = np.flatnonzero(np.isfinite(look.cold_recall))
    assert len(asked) == len(expected)
    assert asked.min() >= len(parts.validation)
    for place in asked:
        history = validation.histories[place]
        wanted = expected[frozenset(history.tolist())]
        allowed = np.flatnonzero(validation.cold)
        ranked = sorted(allowed.tolist(), key=lambda item: (-scores[place, item], item))
        assert look.cold_recall[place] == pytest.approx(metrics(ranked, list(wanted))[0])
    np.testing.assert_allclose(
        look.recall[: len(parts.validation)],
        Validation(parts, limit=10**6).look(lambda places: scores[places].copy()).recall,
    )


def test_a_limit_takes_evenly_chosen_users(parts) -> None:
    few = Validation(parts, limit=10)
    assert len(few) == 10
    held = parts.validation
    places = np.linspace(0, len(held) - 1, 10).astype(int)
    for history, place in zip(few.histories, places, strict=True):
        np.testing.assert_array_equal(history, held.histories[place])


def test_means_and_their_weights() -> None:
    nan = np.nan
    look = Look(
        np.array([0.2, 0.4, nan]), np.array([0.0, 0.2, nan]),
        np.array([nan, 1.0, 0.5]), np.array([nan, 0.6, 0.1]),
    )  # fmt: skip
    warm, cold = (0.1 + 0.3) / 2, (0.8 + 0.3) / 2
    assert look.value == pytest.approx((warm + 0.5 * cold) / 1.5)
    assert look.numbers()["validation_recall_at_20"] == pytest.approx(0.3)
    np.testing.assert_allclose(look.both, [0.1 / 1.5, (0.3 + 0.4) / 1.5, 0.15 / 1.5])
    nobody = np.full(3, nan)
    alone = Look(look.recall, look.ndcg, nobody, nobody)
    assert alone.value == pytest.approx(warm)
    assert alone.numbers()["validation_cold_recall_at_20"] is None


def test_a_gain_is_a_paired_difference_beyond_its_error() -> None:
    values = np.array([0.1, 0.2, 0.3, np.nan])
    error = np.std([0.1, 0.2, 0.3], ddof=1) / np.sqrt(3)
    assert is_gain(values, errors=0.99 * 0.2 / error)
    assert not is_gain(values, errors=1.01 * 0.2 / error)
    assert not is_gain(np.array([1.0, np.nan]), errors=0.0), "one user proves nothing"


def test_logs_are_most_recent_first(parts) -> None:
    log = parts.train
    for rows, user in zip(rows_by_user(log), np.unique(log.users), strict=True):
        mine = np.flatnonzero(log.users == user)
        order = sorted(mine, key=lambda row: (-log.timestamps[row], log.items[row]))
        np.testing.assert_array_equal(rows, log.items[order])
