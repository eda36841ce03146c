"""Gate: the recommender's lists are those of brute force in numpy, ties aside.

An inverted file is held to the same rules list by list, and to a share of what brute force finds:
see `gate_recall`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dualtower_export.gate import Gate
from dualtower_export.gate_recall import Listed, recall_gate, rule_error
from dualtower_export.plan import Plan
from dualtower_export.reference import Reference
from dualtower_export.serving_session import ServedModel

__all__ = ["check_recommender", "list_errors"]

SCORE_ERROR = 1e-5
_EXCLUDED = 3  # items of each list that a second call leaves out
_USERS_AT_ONCE = 16  # each takes eight bytes an item


def check_recommender(
    model: ServedModel,
    reference: Reference,
    plan: Plan,
    texts: list[list[str]],
    ids: list[list[str]],
) -> Iterator[Gate]:
    """Both signatures on held-out histories, without and with excluded items.

    Args:
        model: the loaded recommender.
        reference: the trainer's towers.
        plan: the catalogue, and how it is searched.
        texts: histories as texts, a rectangle with "" pads.
        ids: the same histories as ids.
    """
    for signature in ("serving_default", "from_item_ids"):
        histories = texts if signature == "serving_default" else ids
        listed = _ask(model, reference, signature, histories)
        name = f"retrieval/recommender.{signature}"
        if plan.config.index == "exact":
            yield _exact_gate(name, listed, plan.index.item_ids)
        else:
            yield recall_gate(name, listed, plan, SCORE_ERROR)


def _ask(
    model: ServedModel, reference: Reference, signature: str, histories: list[list[str]]
) -> Iterator[Listed]:
    """Every user's list, and then that without the first items of it."""
    by_text = signature == "serving_default"
    alias = "history" if by_text else "item_ids"
    users_of = reference.users_of_texts if by_text else reference.users_of_item_ids
    seen_of = reference.seen_of_texts if by_text else reference.seen_of_item_ids
    for start in range(0, len(histories), _USERS_AT_ONCE):
        some = histories[start : start + _USERS_AT_ONCE]
        users, seen = users_of(some), [seen_of(history) for history in some]
        exclude = [[""] * _EXCLUDED for _ in some]
        for _ in range(2):
            inputs = {alias: some, "exclude": exclude}
            answer = model(signature, **{k: np.array(v, object) for k, v in inputs.items()})
            names = [[raw.decode() for raw in row] for row in answer["item_ids"]]
            scores = reference.scores(users, seen, exclude)
            yield from map(Listed, users, names, answer["scores"], scores)
            exclude = [row[:_EXCLUDED] for row in names]  # the best go: the next list begins lower


def _exact_gate(name: str, listed: Iterator[Listed], item_ids: np.ndarray) -> Gate:
    wrong, worst, equal, lists = [], 0.0, 0, 0
    for one in listed:
        error, same, complaint = list_errors(one.found, one.said, one.wanted, item_ids)
        worst, equal, lists = max(worst, error), equal + same, lists + 1
        wrong += [complaint] if complaint else []
    detail = (
        f"{lists} lists, {equal} of them equal id by id, the others within ties; "
        f"largest score error {worst:.1e} (at most {SCORE_ERROR:.0e})"
    )
    if wrong:
        detail = f"{len(wrong)} of {lists} lists differ from brute force; first: {wrong[0]}"
    return Gate(name, not wrong, worst, SCORE_ERROR, detail)


def list_errors(
    found: list[str], said: np.ndarray, wanted: np.ndarray, item_ids: np.ndarray
) -> tuple[float, bool, str]:
    """Compares one list with the scores of all items.

    Args:
        found: item ids of the list, "" where none was left.
        said: float32 [k], the scores of the list.
        wanted: float64 [items], -inf where an item must not appear.
        item_ids: of the columns of `wanted`.

    Returns:
        The largest score error, whether the ids are those of a stable sort, and a complaint, ""
        when the list is right up to ties within SCORE_ERROR.
    """
    own, complaint = rule_error(Listed(None, found, said, wanted), item_ids)
    if complaint:
        return 0.0, False, complaint
    best = np.argsort(-wanted, kind="stable")[: len(found)]
    best = best[wanted[best] > -np.inf]
    rank = np.abs(said[: len(best)] - wanted[best])
    error = max(own, float(rank.max(initial=0.0)))
    if error > SCORE_ERROR:
        return error, False, f"scores differ by {error:.1e}"
    return error, found[: len(best)] == [str(item_ids[row]) for row in best], ""
