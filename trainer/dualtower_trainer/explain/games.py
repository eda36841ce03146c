"""The two games whose Shapley values explain a score.

History: the players are the items that the user tower reads. The worth of a coalition is the score
that an item would have for somebody who took only these items; without any, the learned fallback
scores it.

Words: the players are the words of one item's text and, for an item that training saw, its *id*:
what the vector in the index has beyond the text. With v the vector in the index and t(S) the item
tower's vector of the text with the words S alone, a coalition with the id stands for

    ‖v‖ · unit(t(S) + v − t(all words))

which is v for all players, and one without the id for t(S).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dualtower.progress import bar
from dualtower_trainer.checkpoint import Trained, embed_histories
from dualtower_trainer.explain.shapley import Game
from dualtower_trainer.explain.words import Words

__all__ = ["TextReader", "history_game", "score_in_history", "word_game"]

_CHUNK = 512


class TextReader:
    """The item tower over texts, each of them read once however often it is asked for."""

    def __init__(self, embed: Callable[[Sequence[str]], np.ndarray]) -> None:
        self._embed = embed
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [texts, dim]."""
        # blanks at the ends and between words do not reach the tower, so they make no other text
        tidy = [" ".join(text.split()) for text in texts]
        fresh = [text for text in dict.fromkeys(tidy) if text not in self._known]
        if fresh:
            self._known.update(zip(fresh, self._embed(fresh), strict=True))
        return np.stack([self._known[text] for text in tidy])


def history_game(trained: Trained, history: np.ndarray, targets: np.ndarray) -> Game:
    """Scores of `targets` [targets, dim] for those who took a part of `history` (rows)."""

    def worth(coalitions: np.ndarray) -> np.ndarray:
        users = []
        with bar("subsets of the history", len(coalitions)) as moving:
            for start in range(0, len(coalitions), _CHUNK):
                part = coalitions[start : start + _CHUNK]
                users.append(trained.embed_histories([history[kept] for kept in part]))
                moving.advance(len(part))
        return np.concatenate(users).astype(np.float64) @ targets.T.astype(np.float64)

    return worth


def word_game(
    words: Words,
    vector: np.ndarray,
    *,
    with_id: bool,
    read: TextReader,
    score: Callable[[np.ndarray], np.ndarray],
) -> Game:
    """The game of the words of an item, its id the last player if `with_id`.

    Args:
        words: of the item's text.
        vector: float32 [dim], the item's in the index.
        read: the item tower on text alone.
        score: item vectors float32 [n, dim] to float64 [n, targets].
    """
    length = np.linalg.norm(vector)

    def worth(coalitions: np.ndarray) -> np.ndarray:
        kept = coalitions[:, : len(words)]
        vectors = read([words.keeping(one) for one in kept])
        if with_id:
            has_id = coalitions[:, -1]
            fused = vectors[has_id] + vector - read([words.text])[0]
            fused *= length / np.maximum(np.linalg.norm(fused, axis=1, keepdims=True), 1e-12)
            vectors[has_id] = fused
        return score(vectors.astype(np.float32))

    return worth


def score_in_history(
    trained: Trained, history: np.ndarray, place: int, target: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The score of `target` [dim] when other vectors stand at `place` of the history."""

    def score(vectors: np.ndarray) -> np.ndarray:
        table = np.concatenate([trained.vectors[history], vectors])
        read = np.arange(len(history))
        histories = []
        for number in range(len(vectors)):
            rows = read.copy()
            rows[place] = len(history) + number
            histories.append(rows)
        users = embed_histories(trained.user_tower, table, histories, trained.config)
        return users.astype(np.float64) @ target.astype(np.float64)[:, None]

    return score
