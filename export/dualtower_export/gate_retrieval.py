"""Gate: the recommender's lists are those of brute force in numpy, ties aside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dualtower_export.gate import Gate
from dualtower_export.reference import Reference
from dualtower_export.serving_session import ServedModel

__all__ = ["check_recommender", "list_errors"]

SCORE_ERROR = 1e-5
_EXCLUDED = 3  # items of each list that a second call leaves out


def check_recommender(
    model: ServedModel,
    reference: Reference,
    item_ids: np.ndarray,
    texts: list[list[str]],
    ids: list[list[str]],
) -> Iterator[Gate]:
    """Both signatures on held-out histories, without and with excluded items.

    Args:
        model: the loaded recommender.
        reference: the trainer's towers.
        item_ids: of the catalogue.
        texts: histories as texts, a rectangle with "" pads.
        ids: the same histories as ids.
    """
    for name, alias, histories, users, seen in (
        ("serving_default", "history", texts, reference.users_of_texts, reference.seen_of_texts),
        (
            "from_item_ids", "item_ids", ids,
            reference.users_of_item_ids, reference.seen_of_item_ids,
        ),
    ):  # fmt: skip
        embeddings, rows = users(histories), [seen(history) for history in histories]
        exclude = [[""] * _EXCLUDED for _ in histories]
        wrong, worst, equal, lists = [], 0.0, 0, 0
        for _ in range(2):
            inputs = {alias: histories, "exclude": exclude}
            answer = model(name, **{k: np.array(v, object) for k, v in inputs.items()})
            names = [[raw.decode() for raw in row] for row in answer["item_ids"]]
            scores = reference.scores(embeddings, rows, exclude)
            for found, said, wanted in zip(names, answer["scores"], scores, strict=True):
                error, same, complaint = list_errors(found, said, wanted, item_ids)
                worst, equal, lists = max(worst, error), equal + same, lists + 1
                wrong += [complaint] if complaint else []
            exclude = [row[:_EXCLUDED] for row in names]  # the best go: the next list begins lower
        detail = (
            f"{lists} lists, {equal} of them equal id by id, the others within ties; "
            f"largest score error {worst:.1e} (at most {SCORE_ERROR:.0e})"
        )
        if wrong:
            detail = f"{len(wrong)} of {lists} lists differ from brute force; first: {wrong[0]}"
        yield Gate(f"retrieval/recommender.{name}", not wrong, worst, SCORE_ERROR, detail)


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
    best = np.argsort(-wanted, kind="stable")[: len(found)]
    expected = [str(item_ids[row]) if wanted[row] > -np.inf else "" for row in best]
    kept = [item_id for item_id in found if item_id]
    if len(kept) != sum(map(bool, expected)) or found[: len(kept)] != kept:
        return 0.0, False, f"{len(kept)} items where {sum(map(bool, expected))} remain"
    if len(set(kept)) < len(kept):
        return 0.0, False, "an item is in the list twice"
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    rows = [row_of[item_id] for item_id in kept]
    if not np.isneginf(said[len(kept) :]).all():
        return 0.0, False, "an empty place has a score other than -inf"
    barred = [item_id for item_id, row in zip(kept, rows, strict=True) if np.isneginf(wanted[row])]
    if barred:
        return 0.0, False, f"{barred[0]} is blocked, excluded or in the history"
    own = np.abs(said[: len(kept)] - wanted[rows])
    rank = np.abs(said[: len(kept)] - wanted[best[: len(kept)]])
    error = float(max(own.max(initial=0.0), rank.max(initial=0.0)))
    if error > SCORE_ERROR:
        return error, False, f"scores differ by {error:.1e}"
    return error, found == expected, ""
