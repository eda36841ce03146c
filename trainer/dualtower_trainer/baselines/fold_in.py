"""Factors of users and items as a scorer, with a place for users who have no factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix

__all__ = ["answering_all", "factor_scorer", "user_vectors"]


def answering_all(scorer: Scorer, data: TrainingSet) -> Scorer:
    """The scorer, and popularity for whom it has nothing to say: all of their scores are equal.

    So it answers people without a history, whom a sum over the history leaves at 0.
    """

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        scores = scorer(histories, users)
        silent = scores.max(axis=1) == scores.min(axis=1)
        if silent.any():
            scores[silent] = data.popularity
        return scores

    return score


def factor_scorer(
    data: TrainingSet,
    user_factors: np.ndarray,
    item_factors: np.ndarray,
    item_bias: np.ndarray | float = 0.0,
) -> Scorer:
    """Dot products of factors, plus the bias of the item.

    Args:
        data: says which users were seen.
        user_factors: float32 [user codes, dim].
        item_factors: float32 [items, dim].
        item_bias: float32 [items].
    """

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        vectors = user_vectors(data, user_factors, item_factors, histories, users)
        return np.asarray(vectors @ item_factors.T + item_bias, np.float32)

    return score


def user_vectors(
    data: TrainingSet,
    user_factors: np.ndarray,
    item_factors: np.ndarray,
    histories: Sequence[np.ndarray],
    users: np.ndarray,
) -> np.ndarray:
    """Each user's own factors, or where the training has none the mean of the history's, float32.

    `item_factors` are what an item of the history adds to such a user. The mean is brought to the
    usual length of user factors, so that biases keep their weight. A user without training and
    history has zeros.
    """
    seen = np.diff(data.matrix.indptr) > 0
    known = (users >= 0) & seen[users]
    found = history_matrix(histories, data.n_items) @ item_factors
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    usual = np.linalg.norm(user_factors[seen], axis=1).mean() if seen.any() else 1.0
    folded = found * (usual / np.where(lengths > 1e-12, lengths, 1.0))
    return np.asarray(np.where(known[:, None], user_factors[users], folded), np.float32)
