"""The held-out future, ranked over the full catalogue: one method at a time, then side by side.

    rank_method(trial, scorer) ──► Outcome: a value for every user ──► summarise(…) ──► plain JSON

What each question means is in trial.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualtower.progress import Bar
from dualtower_trainer.baselines.training_set import Scorer
from dualtower_trainer.bootstrap import paired_bootstrap
from dualtower_trainer.exposure import FairController
from dualtower_trainer.history_lengths import BUCKETS, bucket_of
from dualtower_trainer.list_metrics import (
    calibration_kl,
    category_codes,
    coverage,
    gini,
    shown_counts,
)
from dualtower_trainer.metrics import (
    Estimate,
    estimate,
    ndcg_at,
    recall_at,
    reciprocal_rank,
    top_k,
)
from dualtower_trainer.trial import Scope, Trial

__all__ = ["COMPARED", "LIST_ITEMS", "Outcome", "rank_method", "summarise", "without_nan"]

COMPARED = ("recall_at_20", "ndcg_at_20")  # differences to the reference are taken in these
LIST_ITEMS = 20
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one method gave: by scope, values of each user by metric, and how often it showed each
    item to the users who were asked."""

    values: Mapping[str, Mapping[str, np.ndarray]]
    shown: Mapping[str, np.ndarray]


def rank_method(
    trial: Trial,
    scorer: Scorer,
    *,
    warm_only: bool = False,
    exposure_weight: float = 0.0,
    exposure_pool: int = 100,
    moving: Bar | None = None,
) -> Outcome:
    """Ranks every question for every user.

    Args:
        trial: who is asked what.
        scorer: histories and user codes to float32 [users, items]; it may be written into.
        warm_only: its scores of unseen items mean nothing, so these come last.
        exposure_weight: above 0 the lists are reordered by a FairController.
        exposure_pool: how many of a user's best it reorders.
        moving: is advanced by the users done.

    Raises:
        ValueError: a score is NaN.
    """
    held, n_items = trial.heldout, len(trial.catalogue)
    categories = category_codes(trial.catalogue.categories)
    values: dict[str, list[dict[str, np.ndarray]]] = {scope.name: [] for scope in trial.scopes}
    shown = {scope.name: np.zeros(n_items, np.int64) for scope in trial.scopes}
    controllers = {
        scope.name: FairController(
            n_items, weight=exposure_weight, places=LIST_ITEMS, pool=exposure_pool
        )
        for scope in trial.scopes
    }
    for start in range(0, len(held), _CHUNK):
        part = slice(start, start + _CHUNK)
        histories = held.histories[part]
        scores = np.asarray(scorer(histories, held.users[part]))
        if np.isnan(scores).any():
            raise ValueError("a score is NaN: the scorer or what it was fitted on is broken")
        if warm_only:
            scores = np.where(trial.warm, scores, scores.min(axis=1, keepdims=True) - 1)
        for row, history in zip(scores, histories, strict=True):
            row[history] = -np.inf
        for scope in trial.scopes:
            wanted, asked = scope.targets[part], scope.asked[part]
            limited = np.where(scope.candidates, scores, -np.inf)
            if exposure_weight > 0:
                limited[asked] = controllers[scope.name].adjusted(limited[asked])
            lists = top_k(limited, LIST_ITEMS)
            lists[np.take_along_axis(limited, lists, axis=1) == -np.inf] = -1
            found = _user_values(trial, scope, limited, lists, wanted)
            if categories is not None:
                fit = calibration_kl(lists, histories, categories)
                found["calibration_kl"] = np.where(asked, fit, np.nan)
            values[scope.name].append(found)
            shown[scope.name] += shown_counts(lists[asked], n_items)
        if moving is not None:
            moving.advance(len(histories))
    return Outcome({name: _joined(parts) for name, parts in values.items()}, shown)


def summarise(
    trial: Trial,
    outcomes: Mapping[str, Outcome],
    *,
    titles: Mapping[str, str],
    warm_only: Sequence[str] = (),
    stands_for: Mapping[str, str] | None = None,
    variant_of: Mapping[str, str] | None = None,
    reference: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The outcomes side by side, as plain JSON.

    Args:
        trial: who was asked what.
        outcomes: by method, in the order of the table.
        titles: what a reader calls a method.
        warm_only: methods that have no row where cold items are ranked among themselves.
        stands_for: by method, the name that the source article has for its like.
        variant_of: by method, the one of which it is another setting: its difference to the
            reference is a price, and no reader counts it among those to beat.
        reference: a method; the others get the paired differences of it to them.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        By scope: `users`, `candidates`, `methods`, and where cold items are asked for `random`,
        the expectation of a random order. A scope without users has no methods.
    """
    result: dict[str, Any] = {}
    for scope in trial.scopes:
        rows = []
        for name, outcome in outcomes.items():
            if not scope.users or (scope.name == "cold" and name in warm_only):
                continue
            row: dict[str, Any] = {"method": name, "title": titles.get(name, name)}
            for key, said in (("stands_for", stands_for), ("variant_of", variant_of)):
                if said and said.get(name):
                    row[key] = said[name]
            row |= _summary(trial, scope, outcome)
            if reference is not None and name != reference:
                for metric in COMPARED:
                    row[f"reference_minus_this_{metric}"] = paired_bootstrap(
                        outcomes[reference].values[scope.name][metric],
                        outcome.values[scope.name][metric],
                        draws,
                        seed,
                    ).as_dict()
            rows.append(row)
        result[scope.name] = {
            "users": scope.users,
            "candidates": int(scope.candidates.sum()),
            "methods": rows,
        }
        if scope.name != "warm" and scope.users:
            chance = _random_recall(LIST_ITEMS, scope, trial.heldout.histories)
            result[scope.name]["random"] = {"recall_at_20": chance.as_dict()}
    return without_nan(result)


def without_nan(value: Any) -> Any:
    """The same JSON with null for every number that is none, since JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _user_values(
    trial: Trial,
    scope: Scope,
    scores: np.ndarray,
    lists: np.ndarray,
    wanted: Sequence[np.ndarray],
) -> dict[str, np.ndarray]:
    values = {
        "recall_at_10": recall_at(10, lists, wanted),
        "recall_at_20": recall_at(20, lists, wanted),
        "ndcg_at_10": ndcg_at(10, lists, wanted),
        "ndcg_at_20": ndcg_at(20, lists, wanted),
        "mrr": reciprocal_rank(scores, wanted),
    }
    if scope.name == "warm":
        for name, kept in (("head", trial.head), ("tail", ~trial.head)):
            part = [rows[kept[rows]] for rows in wanted]
            values[f"recall_at_20_{name}"] = recall_at(20, lists, part)
    return values


def _summary(trial: Trial, scope: Scope, outcome: Outcome) -> dict[str, Any]:
    values, shown = outcome.values[scope.name], outcome.shown[scope.name]
    row: dict[str, Any] = {name: estimate(column).as_dict() for name, column in values.items()}
    among = shown[scope.candidates]
    total = max(int(shown.sum()), 1)
    row["coverage_at_20"] = coverage(among)
    row["gini_at_20"] = gini(among)
    row["head_share_of_lists"] = float(shown[trial.head].sum() / total)
    row["cold_share_of_lists"] = float(shown[trial.cold].sum() / total)
    buckets = bucket_of(trial.heldout.histories)
    row["recall_at_20_by_history"] = {
        name: estimate(values["recall_at_20"][buckets == place]).as_dict()
        for place, name in enumerate(BUCKETS)
    }
    return row


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    names = parts[0] if parts else ()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _random_recall(k: int, scope: Scope, histories: Sequence[np.ndarray]) -> Estimate:
    """Expected Recall@k of a random order: hits are hypergeometric, so k·t/n of them."""
    values = np.full(len(histories), np.nan)
    for user, (wanted, history) in enumerate(zip(scope.targets, histories, strict=True)):
        if len(wanted):
            left = scope.candidates.sum() - scope.candidates[history].sum()
            values[user] = min(k, left) * len(wanted) / left / min(k, len(wanted))
    return estimate(values)
