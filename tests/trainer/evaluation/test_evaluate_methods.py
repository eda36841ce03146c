"""The evaluation of any scorer, against a slow loop over users."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from dualtower_trainer.data import Heldout
from dualtower_trainer.evaluate import rank_method, summarise, without_nan
from dualtower_trainer.evaluate_seeds import over_seeds
from dualtower_trainer.evaluation_tables import evaluation_tables
from dualtower_trainer.list_metrics import gini
from dualtower_trainer.trial import Trial

BLOCKED = 7


def scorer_of(scores: np.ndarray):
    """Users are coded from -1 on in the trial."""
    return lambda histories, users: scores[users + 1].copy()


def slow_lists(trial: Trial, scores: np.ndarray, candidates: np.ndarray) -> list[list[int]]:
    return [
        sorted(
            (item for item in np.flatnonzero(candidates) if item not in set(history.tolist())),
            key=lambda item: (-row[item], item),
        )[:20]
        for row, history in zip(scores, trial.heldout.histories, strict=True)
    ]


@pytest.mark.parametrize("scope", [0, 1, 2])
def test_recall_and_exposure_equal_a_loop(trial: Trial, scores: np.ndarray, scope: int) -> None:
    question = trial.scopes[scope]
    candidates = (trial.warm, trial.cold, trial.warm | trial.cold)[scope].copy()
    candidates[BLOCKED] = False
    outcome = rank_method(trial, scorer_of(scores))
    lists = slow_lists(trial, scores, candidates)
    shown, recalls = np.zeros(120, int), []
    aims = (trial.heldout.warm_targets, trial.heldout.cold_targets, trial.heldout.cold_targets)
    for best, wanted in zip(lists, aims[scope], strict=True):
        left = set(wanted.tolist()) - {BLOCKED}
        if left:
            recalls.append(len(set(best) & left) / min(20, len(left)))
            shown[best] += 1
    values = outcome.values[question.name]["recall_at_20"]
    np.testing.assert_allclose(values[~np.isnan(values)], recalls)
    np.testing.assert_array_equal(outcome.shown[question.name], shown)
    row = summarise(trial, {"a": outcome}, titles={})[question.name]["methods"][0]
    assert row["gini_at_20"] == pytest.approx(gini(shown[candidates]))
    assert row["coverage_at_20"] == pytest.approx(np.mean(shown[candidates] > 0))
    assert row["cold_share_of_lists"] == pytest.approx(shown[trial.cold].sum() / shown.sum())


@pytest.mark.parametrize("weight", [0.0, 0.05])
def test_blocked_items_and_history_are_in_no_list(
    trial: Trial, scores: np.ndarray, weight: float
) -> None:
    tempting = scores.copy()
    tempting[:, BLOCKED] = 99
    for row, history in zip(tempting, trial.heldout.histories, strict=True):
        row[history] = 50
    outcome = rank_method(trial, scorer_of(tempting), exposure_weight=weight)
    for shown in outcome.shown.values():
        assert shown[BLOCKED] == 0
    asked = trial.scopes[0].asked
    assert outcome.shown["warm"].sum() == 20 * asked.sum()
    only = dataclasses.replace(trial, chosen=np.arange(120) < 5)
    few = rank_method(only, scorer_of(tempting), exposure_weight=weight)
    assert few.shown["warm"][5:].sum() == 0, "a short list is not filled up with what is excluded"


def test_recall_by_history_adds_up(trial: Trial, scores: np.ndarray) -> None:
    part = summarise(trial, {"a": rank_method(trial, scorer_of(scores))}, titles={})["warm"]
    row = part["methods"][0]
    groups = [group for group in row["recall_at_20_by_history"].values() if group["users"]]
    assert sum(group["users"] for group in groups) == part["users"] == row["recall_at_20"]["users"]
    joined = sum(group["users"] * group["value"] for group in groups) / part["users"]
    assert joined == pytest.approx(row["recall_at_20"]["value"])
    assert row["recall_at_20_by_history"]["0"]["users"] == 1


def test_methods_that_know_no_unseen_items_rank_them_last(trial: Trial, scores: np.ndarray) -> None:
    loud = scores.copy()
    loud[:, trial.cold] += 100
    outcomes = {
        "loud": rank_method(trial, scorer_of(loud)),
        "modest": rank_method(trial, scorer_of(loud), warm_only=True),
    }
    found = summarise(trial, outcomes, titles={}, warm_only=["modest"], reference="loud")
    full = {row["method"]: row for row in found["cold_in_full"]["methods"]}
    assert full["loud"]["cold_share_of_lists"] == 1
    assert full["modest"]["cold_share_of_lists"] == 0
    assert [row["method"] for row in found["cold"]["methods"]] == ["loud"]
    gain = full["modest"]["reference_minus_this_recall_at_20"]
    assert gain["value"] == pytest.approx(full["loud"]["recall_at_20"]["value"])
    assert gain["low"] <= gain["value"] <= gain["high"]


def test_the_random_row_is_the_mean_of_random_lists(trial: Trial) -> None:
    random = np.random.default_rng(0)
    means = []
    for _ in range(60):
        outcome = rank_method(trial, scorer_of(random.random((40, 120))))
        means.append(np.nanmean(outcome.values["cold_in_full"]["recall_at_20"]))
    expected = summarise(trial, {"a": outcome}, titles={})["cold_in_full"]["random"]
    error = 4 * np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - expected["recall_at_20"]["value"]) < error


def test_a_broken_scorer_is_noticed(trial: Trial, scores: np.ndarray) -> None:
    broken = scores.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        rank_method(trial, scorer_of(broken))


def test_nobody_to_ask_leaves_empty_scopes_and_valid_json(trial: Trial, scores: np.ndarray) -> None:
    nothing = [np.empty(0, np.int32)] * len(trial.heldout)
    nobody = dataclasses.replace(
        trial, heldout=dataclasses.replace(trial.heldout, cold_targets=nothing)
    )
    found = summarise(nobody, {"a": rank_method(nobody, scorer_of(scores))}, titles={})
    assert found["cold"]["methods"] == []
    assert found["cold"]["users"] == 0
    assert json.loads(json.dumps(found, allow_nan=False))["warm"]["methods"]
    assert [table.title[:4] for table in evaluation_tables(found)] == ["Warm"] * 3
    empty = Heldout(np.empty(0, np.int32), np.empty(0, object), [], [], [])
    none = dataclasses.replace(trial, heldout=empty)
    assert (
        summarise(none, {"a": rank_method(none, scorer_of(scores))}, titles={})["warm"]["users"]
        == 0
    )


def test_seeds_are_averaged_and_their_scatter_shown(trial: Trial) -> None:
    random = np.random.default_rng(2)
    towers = [rank_method(trial, scorer_of(random.normal(size=(40, 120)))) for _ in range(3)]
    other = rank_method(trial, scorer_of(random.normal(size=(40, 120))))
    outcomes = [{"dualtower": tower, "other": other} for tower in towers]
    results = [
        summarise(trial, outcome, titles={}, reference="dualtower", draws=100)
        for outcome in outcomes
    ]
    found = over_seeds(trial, outcomes, results, ours="dualtower", draws=100)
    means = [np.nanmean(tower.values["warm"]["ndcg_at_20"]) for tower in towers]
    ours, theirs = found["warm"]["methods"]
    assert ours["ndcg_at_20"]["value"] == pytest.approx(np.mean(means))
    assert ours["ndcg_at_20"]["se"] == pytest.approx(np.std(means, ddof=1) / np.sqrt(3))
    assert theirs["ndcg_at_20"]["se"] == 0
    gain = theirs["reference_minus_this_ndcg_at_20"]["value"]
    assert gain == pytest.approx(np.mean(means) - theirs["ndcg_at_20"]["value"])
    assert found["runs"] == 3
    lists = next(table for table in evaluation_tables(found) if "whom they show" in table.title)
    assert lists.header[-1] == "calibration KL", "these items have categories"


def test_a_variant_has_a_price_and_no_gain_over_it_is_shown(
    trial: Trial, scores: np.ndarray
) -> None:
    outcomes = {
        "dualtower": rank_method(trial, scorer_of(scores)),
        "dualtower_fair": rank_method(trial, scorer_of(scores), exposure_weight=0.05),
        "other": rank_method(trial, scorer_of(-scores)),
    }
    found = summarise(
        trial,
        outcomes,
        titles={},
        stands_for={"other": "NCS", "dualtower": ""},
        variant_of={"dualtower_fair": "dualtower"},
        reference="dualtower",
        draws=50,
    )
    ours, fair, other = found["warm"]["methods"]
    assert "stands_for" not in ours
    assert "variant_of" not in ours
    assert (fair["variant_of"], other["stands_for"]) == ("dualtower", "NCS")
    tables = evaluation_tables(found)
    quality = tables[0]
    assert quality.header[:2] == ["", "stands for"]
    assert [row[1] for row in quality.rows] == ["", "", "NCS"]
    gains = quality.header.index("Δ Recall@20 of dualtower")
    assert quality.rows[1][gains:] == [""] * 6, "it is no rival"
    assert quality.rows[2][gains] != ""
    price = next(table for table in tables if "what they cost" in table.title)
    assert [row[0] for row in price.rows] == ["Warm", "Cold", "Cold in full"]
    lost = fair["reference_minus_this_recall_at_20"]
    assert lost["value"] == pytest.approx(
        ours["recall_at_20"]["value"] - fair["recall_at_20"]["value"]
    )
    cold = next(table for table in tables if table.title.startswith("Cold in full, lists"))
    assert cold.header[4] == "cold share"
    assert all("cold share" not in table.header for table in tables if table.title[:4] == "Warm")


def test_json_has_no_nan() -> None:
    assert without_nan({"a": [float("nan"), 1.0], "b": (float("inf"), "x")}) == {
        "a": [None, 1.0],
        "b": [None, "x"],
    }
