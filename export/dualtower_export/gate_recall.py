"""Gate: an inverted file finds enough of the exact lists, and breaks no rule on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dualtower_export.gate import Gate
from dualtower_export.ivf_lists import recall_of_probes
from dualtower_export.plan import Plan
from dualtower_export.search_index import NOT_TASTE, lists_of

__all__ = ["Listed", "recall_gate", "recall_of_list", "rule_error"]


@dataclass(frozen=True)
class Listed:
    """One user's list beside the scores of all items.

    Attributes:
        user: float32 [dim], the embedding; None where only the list is judged.
        found: item ids, "" where none was left.
        said: float32 [k], the scores of the list.
        wanted: float64 [items], -inf where an item must not appear.
    """

    user: np.ndarray | None
    found: list[str]
    said: np.ndarray
    wanted: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Rows of the exact list, best first."""
        k = min(len(self.found), int((self.wanted > -np.inf).sum()))
        reach = np.partition(self.wanted, -k)[-k] if k else np.inf
        near = np.flatnonzero(self.wanted >= reach)  # ascending, so that ties keep their order
        return near[np.argsort(-self.wanted[near], kind="stable")[:k]]


def recall_gate(name: str, listed: Iterator[Listed], plan: Plan, score_error: float) -> Gate:
    """Judges the lists of an inverted file.

    Args:
        name: of the gate.
        listed: the lists of held-out users.
        plan: the catalogue and the settings.
        score_error: largest difference of a score to that of the trainer's towers.
    """
    target, item_ids = plan.config.ivf_recall, plan.index.item_ids
    wrong, worst, recalls, users, best = [], 0.0, [], [], []
    for one in listed:
        error, complaint = rule_error(one, item_ids)
        if not complaint and error > score_error:
            complaint = f"scores differ by {error:.1e}"
        if not complaint and (one.said[1:] > one.said[:-1]).any():
            complaint = "scores do not fall"
        wrong += [complaint] if complaint else []
        worst = max(worst, error)
        recalls.append(recall_of_list(one, item_ids, score_error))
        if one.user is not None:
            users.append(one.user[:-NOT_TASTE])
            best.append(one.best)
    if wrong:
        detail = f"{len(wrong)} of {len(recalls)} lists break a rule; first: {wrong[0]}"
        return Gate(name, False, worst, score_error, detail)
    recall = float(np.mean(recalls)) if recalls else 1.0
    detail = (
        f"recall@{plan.k_max} {recall:.4f} (at least {target}) over {len(recalls)} lists by "
        f"{plan.config.ivf_probes} probes; largest score error {worst:.1e}"
    )
    if recall < target:
        detail += f"; set {_advice(np.array(users), best, plan)}"
    return Gate(name, recall >= target, recall, target, detail)


def recall_of_list(one: Listed, item_ids: np.ndarray, score_error: float = 0.0) -> float:
    """The share of the exact list that was found, an equally good item counted as found."""
    best = one.best
    if not len(best):
        return 1.0
    rows = _rows(one.found, item_ids)
    good = one.wanted[rows] >= one.wanted[best[-1]] - score_error
    return float(good.sum()) / len(best)


def rule_error(one: Listed, item_ids: np.ndarray) -> tuple[float, str]:
    """What holds for a list of any index.

    Returns:
        The largest error of a score, and a complaint: an item that is barred or there twice, or a
        list that is short while items are left; "" if none.
    """
    kept = [item_id for item_id in one.found if item_id]
    remain = min(len(one.found), int((one.wanted > -np.inf).sum()))
    if len(kept) != remain or one.found[: len(kept)] != kept:
        return 0.0, f"{len(kept)} items where {remain} remain"
    if len(set(kept)) < len(kept):
        return 0.0, "an item is in the list twice"
    if not np.isneginf(one.said[len(kept) :]).all():
        return 0.0, "an empty place has a score other than -inf"
    rows = _rows(kept, item_ids)
    barred = np.flatnonzero(np.isneginf(one.wanted[rows]))
    if len(barred):
        return 0.0, f"{kept[barred[0]]} is blocked, excluded or in the history"
    return float(np.abs(one.said[: len(kept)] - one.wanted[rows]).max(initial=0.0)), ""


def _rows(found: list[str], item_ids: np.ndarray) -> np.ndarray:
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    return np.array([row_of[item_id] for item_id in found if item_id], np.int64)


def _advice(users: np.ndarray, best: list[np.ndarray], plan: Plan) -> str:
    """The least number of probes that reaches the target on these users."""
    lists = lists_of(plan.trained.vectors, plan.trained.blocked, plan.config)
    curve = recall_of_probes(lists, users, best)
    enough = int(np.searchsorted(curve, plan.config.ivf_recall)) + 1
    return (
        f"export.ivf_probes={min(enough, len(curve))} (of {len(curve)} lists), a lower "
        "export.ivf_recall, or export.index=exact"
    )
