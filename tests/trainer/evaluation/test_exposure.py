"""Exposure-aware lists: the controller against a slow one, and what it buys for what price."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.evaluate import rank_method, summarise
from dualtower_trainer.exposure import FairController
from dualtower_trainer.metrics import top_k
from dualtower_trainer.trial import Trial


def test_it_is_the_controller_of_the_paper_user_by_user() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(30, 12))
    controller = FairController(12, weight=0.2, places=3, pool=12)
    lists = top_k(np.concatenate([controller.adjusted(part) for part in np.split(scores, 3)]), 3)
    exposure = np.zeros(12)
    for row, shown in zip(scores, lists, strict=True):
        wanted = np.argsort(-(row + 0.2 * (exposure.max() - exposure)), kind="stable")[:3]
        assert shown.tolist() == wanted.tolist()
        exposure[wanted] += 1 / np.log2([2, 3, 4])
    np.testing.assert_allclose(controller.exposure, exposure)


def test_without_weight_nothing_changes_and_scores_are_not_written_to() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 30))
    before = scores.copy()
    controller = FairController(30, weight=0.0, places=3, pool=10)
    np.testing.assert_array_equal(controller.adjusted(scores), scores)
    FairController(30, weight=1.0, places=3, pool=10).adjusted(scores)
    np.testing.assert_array_equal(scores, before)


def test_only_the_best_are_reordered_and_never_what_is_no_candidate() -> None:
    scores = np.tile(np.arange(20.0), (50, 1))
    scores[:, 19] = -np.inf
    controller = FairController(20, weight=5.0, places=2, pool=6)
    lists = top_k(controller.adjusted(scores), 2)
    assert set(np.unique(lists)) == set(range(13, 19))
    nobody = FairController(3, weight=1.0, places=2, pool=3).adjusted(np.full((2, 3), -np.inf))
    assert (nobody == -np.inf).all()


def test_it_buys_evenness_with_recall(trial: Trial) -> None:
    """Everybody's scores favour the same items; targets are what these scores say."""
    random = np.random.default_rng(3)
    shared = np.linspace(2, 0, 120) + random.normal(0, 0.1, (40, 120))

    def score(histories: object, users: np.ndarray) -> np.ndarray:
        return shared[users + 1].copy()

    ginis = []
    for weight in (0.0, 0.01, 0.1):
        outcome = rank_method(trial, score, exposure_weight=weight)
        row = summarise(trial, {"a": outcome}, titles={})["warm"]["methods"][0]
        ginis.append(row["gini_at_20"])
    assert ginis[0] > ginis[1] > ginis[2]


@pytest.mark.parametrize(
    "wrong", [{"weight": -1.0}, {"weight": 1.0, "places": 0}, {"weight": 1.0, "pool": 2}]
)
def test_wrong_use_is_named(wrong: dict) -> None:
    with pytest.raises(ValueError, match="weight must not be negative and"):
        FairController(5, **{"weight": 0.1, "places": 3, "pool": 5, **wrong})
