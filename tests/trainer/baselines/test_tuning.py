"""Choices see validation users alone, and what is fitted sees everything."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dualtower_trainer.baselines import BASELINES, CHEAP, Tuning, best_setting
from dualtower_trainer.baselines.sampled_pairs import RowAdam, sampled_batches
from dualtower_trainer.data import Heldout

NOBODY = Heldout(np.empty(0, np.int32), np.empty(0, object), [], [], [])


def test_recall_is_that_of_a_loop(planted: Tuning) -> None:
    scores = np.random.default_rng(1).random((240, 60)).astype(np.float32)
    found = planted.recall(lambda histories, users: scores[users])
    values = []
    for user, history, wanted in zip(
        range(240), planted.validation.histories, planted.validation.warm_targets, strict=True
    ):
        allowed = [item for item in range(50) if item not in history]
        best = sorted(allowed, key=lambda item: -scores[user, item])[:20]
        values.append(len(set(best) & set(wanted.tolist())) / len(wanted))
    assert found == pytest.approx(np.mean(values))


def test_the_best_setting_wins_and_the_first_of_equals(planted: Tuning) -> None:
    scores = np.random.default_rng(1).random((240, 60)).astype(np.float32)
    perfect = scores.copy()
    for user, wanted in enumerate(planted.validation.warm_targets):
        perfect[user, wanted] += 9

    def fit(data: object, setting: int):
        return lambda histories, users: (perfect if setting == 2 else scores)[users].copy()

    assert best_setting([0, 1, 2, 3], fit, planted) == 2
    assert best_setting([3, 1], fit, planted) == 3


def test_without_validation_users_the_first_setting_is_taken(planted: Tuning) -> None:
    blind = dataclasses.replace(planted, validation=NOBODY)
    assert not blind.possible
    fitted = BASELINES["ease"].fit(blind)
    assert "regularisation" in fitted.note


def test_cheap_baselines_are_baselines_and_need_no_package() -> None:
    assert set(CHEAP) < set(BASELINES)
    assert not any(BASELINES[name].package for name in CHEAP)


def test_sampled_negatives_are_items_that_the_user_did_not_take(planted: Tuning) -> None:
    data = planted.full
    taken = set(zip(data.log.users.tolist(), data.log.items.tolist(), strict=True))
    seen, wrong = [], 0
    random = np.random.default_rng(0)
    for users, items, drawn in sampled_batches(data, random, batch=500, negatives=3):
        seen += list(zip(users.tolist(), items.tolist(), strict=True))
        wrong += sum(
            (user, item) in taken
            for user, row in zip(users.tolist(), drawn.tolist(), strict=True)
            for item in row
        )
        assert drawn.max() < 50, "items that nobody took are no negatives"
    assert sorted(seen) == sorted(taken)
    assert wrong <= 7200 * 0.001


def test_row_adam_equals_adam_on_the_rows_it_touches() -> None:
    random = np.random.default_rng(0)
    table = RowAdam(random.normal(size=(6, 2)), learning_rate=0.1)
    values, first, second = table.values.astype(np.float64), np.zeros((6, 2)), np.zeros((6, 2))
    for step in range(1, 5):
        rows = random.integers(0, 3, 7)
        gradients = random.normal(size=(7, 2)).astype(np.float32)
        summed = np.zeros((6, 2))
        np.add.at(summed, rows, gradients)
        for row in np.unique(rows):
            first[row] = 0.9 * first[row] + 0.1 * summed[row]
            second[row] = 0.999 * second[row] + 0.001 * summed[row] ** 2
            m = first[row] / (1 - 0.9**step)
            v = second[row] / (1 - 0.999**step)
            values[row] -= 0.1 * m / (np.sqrt(v) + 1e-8 / np.sqrt(1 - 0.999**step))
        table.step(rows, gradients)
    np.testing.assert_allclose(table.values, values, atol=1e-5)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_everybody_is_answered(planted: Tuning, name: str) -> None:
    """Someone without training and history gets a list in which items differ, never NaN."""
    baseline = BASELINES[name]
    if not baseline.installed:
        pytest.skip(f"{baseline.package} is not installed")
    quick = dataclasses.replace(planted, validation=NOBODY)
    scorer = baseline.fit(quick).scorer
    scores = scorer([np.array([], np.int32), planted.validation.histories[0]], np.array([-1, 0]))
    assert np.isfinite(scores).all()
    assert len(np.unique(scores[0])) > 5
    if name != "vbpr":  # it has biases, which are a popularity of their own
        order = np.argsort(-scores[0, :50], kind="stable")[:10]
        popularity = planted.full.popularity[order]
        assert popularity.min() >= np.sort(planted.full.popularity)[-25]
