"""Recommendations for many users at once, from the towers alone: no server.

    users.txt ─► histories of DATA ─► user tower ─┐
    candidates.txt ─► vectors ───────────────────┴─► dot product ─► minus history ─► top k ─► JSONL

Only a chunk of users × candidates is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import DataError, UsageError
from dualtower.files import atomic_file
from dualtower.progress import bar, say
from dualtower_trainer.candidates import Candidates, choose_candidates, read_item_texts
from dualtower_trainer.id_file import read_ids
from dualtower_trainer.metrics import top_k
from dualtower_trainer.scoring_towers import Towers
from dualtower_trainer.user_histories import Histories, read_histories

__all__ = ["rank_users", "recommend_offline"]

_SCORES = 1 << 24  # of a chunk, 64 MiB
_MOST_USERS = 512
_CANDIDATES = 1 << 16  # of a product in float64


def recommend_offline(
    towers: Towers,
    *,
    data: Path,
    users: Path,
    out: Path,
    k: int = 100,
    candidates: Path | None = None,
    items: Path | None = None,
) -> dict[str, Any]:
    """Writes a line `{"user_id": …, "items": [best, second, …]}` for each user, in their order.

    Everything that a user took in `data` is left out of their list, blocked items are in nobody's,
    and a user without history gets the list of the learned fallback vector.

    Args:
        data: the folder that holds the histories.
        users: one user id a line.
        out: the JSON Lines file; it appears when it is whole.
        k: length of a list; it is shorter where fewer candidates are left.
        candidates: one item id a line; None takes the whole catalogue.
        items: texts of candidates that the catalogue does not have, columns item_id and text.

    Returns:
        Counts of what was read, left out and written.

    Raises:
        DataError: a file cannot be used, or no candidate is left.
        UsageError: `k` is below 1, or `out` cannot be written.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give the file to write, e.g. {out}/predictions.jsonl")
    asked = read_ids(users)
    offered = read_ids(candidates) if candidates else None
    histories = read_histories(data, asked.ids)
    chosen = choose_candidates(
        towers,
        offered.ids if offered else None,
        texts=read_item_texts(items) if items else None,
        blocked_ids=frozenset(histories.catalogue.item_ids[histories.catalogue.blocked]),
    )
    lengths = []
    with atomic_file(out) as temporary, temporary.open("w", encoding="ascii") as stream:
        lists = rank_users(towers, chosen, histories, k)
        for user_id, places in zip(asked.ids, lists, strict=True):
            line = {"user_id": user_id, "items": list(chosen.item_ids[places])}
            stream.write(json.dumps(line) + "\n")
            lengths.append(len(places))
    summary = {
        "out": str(out),
        "k": k,
        "users": len(asked.ids),
        "users_without_history": sum(len(rows) == 0 for rows in histories.rows),
        "repeated_users": asked.repeated,
        "candidates": len(chosen.item_ids),
        "candidates_by_text": chosen.by_text,
        "blocked_candidates": chosen.blocked,
        "unknown_candidates": len(chosen.unknown),
        "repeated_candidates": offered.repeated if offered else 0,
        "short_lists": sum(length < k for length in lengths),
    }
    _notes(summary, chosen.unknown)
    return summary


def rank_users(
    towers: Towers, candidates: Candidates, histories: Histories, k: int
) -> Iterator[np.ndarray]:
    """For each user the places of the k best candidates, int64, best first.

    Scores are summed in float64 and rounded to float32, so that candidates of equal vectors tie
    wherever they stand in the product; the candidate that comes first wins a tie.

    Raises:
        DataError: a score is no number.
    """
    read = histories.places_in(towers.item_ids)
    taken = histories.places_in(candidates.item_ids)
    size = max(1, min(_MOST_USERS, _SCORES // len(candidates.item_ids)))
    with bar("rank users", len(histories.rows)) as moving:
        for start in range(0, len(histories.rows), size):
            scores = _scores(towers.embed_histories(read[start : start + size]), candidates.vectors)
            if not np.isfinite(scores).all():
                raise DataError("the towers gave scores that are no numbers; train the run again")
            for row, places in zip(scores, taken[start : start + size], strict=True):
                row[places] = -np.inf
            for row, best in zip(scores, top_k(scores, k), strict=True):
                yield best[row[best] > -np.inf]
            moving.advance(len(scores))


def _scores(users: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """float32 [users, candidates] of float32 [users, dim] and [candidates, dim]."""
    scores = np.empty((len(users), len(vectors)), np.float32)
    exact = users.astype(np.float64)
    for start in range(0, len(vectors), _CANDIDATES):
        part = vectors[start : start + _CANDIDATES].astype(np.float64)
        scores[:, start : start + _CANDIDATES] = exact @ part.T
    return scores


def _notes(summary: dict[str, Any], unknown: Sequence[str]) -> None:
    for name in ("users", "candidates"):
        if count := summary[f"repeated_{name}"]:
            say(f"  {count} repeated {name} were dropped")
    if unknown:
        say(
            f"  {len(unknown)} candidates are not in the catalogue and were left out, e.g. "
            f"{unknown[0]!r}; --items FILE gives them a text"
        )
