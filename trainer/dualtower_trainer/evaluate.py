"""The held-out future, ranked over the full catalogue by the towers and by the baselines.

Three questions, each with its own candidates; a person's history is never a candidate:
- warm: which known items will they take next?  candidates: items with training interactions
- cold: which of the items nobody has taken yet?  candidates: the cold items only
- cold_in_full: do cold items surface at all?  candidates: warm and cold together

The last one can be gamed by a constant added to cold scores, so the share of cold items in the
lists stands beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from dualtower.progress import bar
from dualtower_trainer.baselines import Scorer
from dualtower_trainer.data import Heldout, Split
from dualtower_trainer.metrics import (
    Estimate,
    estimate,
    ndcg_at,
    recall_at,
    reciprocal_rank,
    top_k,
)

__all__ = ["HEAD_SHARE", "evaluate_methods", "is_clearly_better"]

HEAD_SHARE = 0.2  # of the warm items, by training users, are the head
_CHUNK = 512
_SCOPES = ("warm", "cold", "cold_in_full")


def evaluate_methods(
    parts: Split,
    heldout: Heldout,
    methods: dict[str, Scorer],
    *,
    warm_only: Collection[str] = (),
    reference: str | None = None,
) -> dict[str, Any]:
    """Scores every method on every scope.

    Args:
        parts: the split; only `train` decides what is warm and what is head.
        heldout: `parts.validation` or `parts.test`.
        methods: scorers by name.
        warm_only: methods that give every unseen item the same score; ranking cold items among
            themselves by such a tie says nothing, so they have no row there.
        reference: a method; the others get the paired difference of its Recall@20 to theirs.

    Returns:
        The layout of evaluation.json: per scope `users`, `candidates`, `methods`, and for
        cold_in_full the expectation of a random order.
    """
    blocked = parts.catalogue.blocked
    popularity = np.bincount(parts.train.items, minlength=len(parts.catalogue))
    warm_rows = np.flatnonzero(parts.warm)
    head = np.zeros(len(parts.catalogue), bool)
    head_count = max(1, round(HEAD_SHARE * len(warm_rows)))
    head[warm_rows[np.argsort(-popularity[warm_rows], kind="stable")[:head_count]]] = True

    candidates = {
        "warm": parts.warm & ~blocked,
        "cold": parts.cold & ~blocked,
        "cold_in_full": (parts.warm | parts.cold) & ~blocked,
    }
    targets = {
        "warm": [_kept(wanted, ~blocked) for wanted in heldout.warm_targets],
        "cold": [_kept(wanted, ~blocked) for wanted in heldout.cold_targets],
    }
    targets["cold_in_full"] = targets["cold"]
    per_user: dict[str, dict[str, dict[str, np.ndarray]]] = {scope: {} for scope in _SCOPES}
    shown: dict[str, dict[str, np.ndarray]] = {scope: {} for scope in _SCOPES}
    with bar("rank", len(methods) * len(heldout)) as moving:
        for name, scorer in methods.items():
            collected: dict[str, list[dict[str, np.ndarray]]] = {scope: [] for scope in _SCOPES}
            seen = {scope: np.zeros(len(parts.catalogue), np.int64) for scope in _SCOPES}
            for start in range(0, len(heldout), _CHUNK):
                histories = heldout.histories[start : start + _CHUNK]
                scores = scorer(histories)
                for row, history in zip(scores, histories, strict=True):
                    row[history] = -np.inf
                for scope in _SCOPES:
                    wanted = targets[scope][start : start + _CHUNK]
                    ranked, values = _rank(scores, candidates[scope], wanted, head, scope)
                    collected[scope].append(values)
                    kept = np.array([len(w) > 0 for w in wanted])
                    np.add.at(seen[scope], ranked[kept].ravel(), 1)
                moving.advance(len(histories), note=name)
            for scope in _SCOPES:
                per_user[scope][name] = {
                    metric: np.concatenate([part[metric] for part in collected[scope]])
                    for metric in collected[scope][0]
                }
                shown[scope][name] = seen[scope]
    result: dict[str, Any] = {}
    for scope in _SCOPES:
        result[scope] = {
            "users": sum(len(wanted) > 0 for wanted in targets[scope]),
            "candidates": int(candidates[scope].sum()),
            "methods": [
                _summary(name, values, shown[scope][name], candidates[scope], parts.cold)
                | _difference(per_user[scope], name, reference)
                for name, values in per_user[scope].items()
                if scope != "cold" or name not in warm_only
            ],
        }
        if scope != "warm":
            result[scope]["random"] = {
                "recall_at_20": _random_recall(
                    20, targets[scope], heldout.histories, candidates[scope]
                ).as_dict()
            }
    return result


def is_clearly_better(row: dict[str, Any]) -> bool:
    """Whether the reference beats the method of `row` by more than two standard errors, paired."""
    difference = row["reference_minus_this_recall_at_20"]
    return bool(difference["value"] > 2 * difference["se"])


def _rank(
    scores: np.ndarray,
    candidates: np.ndarray,
    wanted: Sequence[np.ndarray],
    head: np.ndarray,
    scope: str,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    limited = np.where(candidates, scores, -np.inf)
    ranked = top_k(limited, 20)
    values = {
        "recall_at_10": recall_at(10, ranked, wanted),
        "recall_at_20": recall_at(20, ranked, wanted),
        "ndcg_at_10": ndcg_at(10, ranked, wanted),
        "ndcg_at_20": ndcg_at(20, ranked, wanted),
        "mrr": reciprocal_rank(limited, wanted),
    }
    if scope == "warm":
        values["recall_at_20_head"] = recall_at(20, ranked, [_kept(w, head) for w in wanted])
        values["recall_at_20_tail"] = recall_at(20, ranked, [_kept(w, ~head) for w in wanted])
    return ranked, values


def _summary(
    name: str,
    values: dict[str, np.ndarray],
    shown: np.ndarray,
    candidates: np.ndarray,
    cold: np.ndarray,
) -> dict[str, Any]:
    row: dict[str, Any] = {"method": name}
    row |= {metric: estimate(column).as_dict() for metric, column in values.items()}
    row["coverage_at_20"] = float((shown[candidates] > 0).mean()) if candidates.any() else 0.0
    row["cold_share_of_lists"] = float(shown[cold].sum() / max(shown.sum(), 1))
    return row


def _difference(
    per_user: dict[str, dict[str, np.ndarray]], name: str, reference: str | None
) -> dict[str, Any]:
    if reference is None or name == reference:
        return {}
    paired = per_user[reference]["recall_at_20"] - per_user[name]["recall_at_20"]
    return {"reference_minus_this_recall_at_20": estimate(paired).as_dict()}


def _random_recall(
    k: int, targets: Sequence[np.ndarray], histories: Sequence[np.ndarray], candidates: np.ndarray
) -> Estimate:
    """Expected Recall@k of a random order: hits are hypergeometric, so k·t/n of them."""
    values = np.full(len(targets), np.nan)
    for user, (wanted, history) in enumerate(zip(targets, histories, strict=True)):
        if len(wanted):
            left = candidates.sum() - candidates[history].sum()
            values[user] = min(k, left) * len(wanted) / left / min(k, len(wanted))
    return estimate(values)


def _kept(rows: np.ndarray, keep: np.ndarray) -> np.ndarray:
    return rows[keep[rows]]
