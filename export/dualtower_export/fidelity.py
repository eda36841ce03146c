"""How near one set of embeddings is to another, and whether rankings by them agree. Pure numpy.

Only the taste of two embeddings is compared by its direction: the last number of an item fills up
to length 1, and so large a number common to all of them would make any two look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.metrics import estimate, ndcg_at, recall_at, top_k

__all__ = ["RankingChange", "compare_rankings", "cosines", "largest_error", "overlap_at", "taste"]


@dataclass(frozen=True)
class RankingChange:
    """Recall@10 and NDCG@10 before and after, on the same users.

    Attributes:
        recall_float: mean Recall@10 of the float ranking.
        recall: mean Recall@10 of the other ranking.
        loss_se: standard error of the mean difference, user by user.
        overlap: mean share of the float top ten that the other top ten keeps.
        users: how many users have a target among the candidates.
        recall_se: standard error of `recall` itself.
        ndcg_float: mean NDCG@10 of the float ranking.
        ndcg: mean NDCG@10 of the other ranking.
        ndcg_loss_se: standard error of the mean difference, user by user.
    """

    recall_float: float
    recall: float
    loss_se: float
    overlap: float
    users: int
    recall_se: float = float("nan")
    ndcg_float: float = float("nan")
    ndcg: float = float("nan")
    ndcg_loss_se: float = 0.0


def taste(embeddings: np.ndarray) -> np.ndarray:
    """What a dot product compares, [n, dim - 2] of embeddings [n, dim]: no weight and no rest."""
    return embeddings[:, :-2]


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosine [n] of the rows of two float arrays [n, dim]; 0 where a row is zero or not finite."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = (left * right).sum(axis=1) / lengths
    return np.where(np.isfinite(values), values, 0.0)


def largest_error(left: np.ndarray, right: np.ndarray) -> float:
    """Largest absolute difference of two arrays of one shape; infinite if one is not finite."""
    if left.shape != right.shape:
        return float("inf")
    if not left.size:
        return 0.0
    error = float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max())
    return error if np.isfinite(error) else float("inf")


def overlap_at(k: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Share [users] of the first k of `left` [users, >= k] that are in the first k of `right`."""
    k = min(k, left.shape[1])
    return np.array(
        [np.isin(a[:k], b[:k]).mean() for a, b in zip(left, right, strict=True)], np.float64
    )


def compare_rankings(
    scores_float: np.ndarray, scores: np.ndarray, targets: Sequence[np.ndarray]
) -> RankingChange:
    """Compares the top ten by two score arrays [users, items], -inf where an item is left out.

    Args:
        scores_float: the reference.
        scores: of the variant.
        targets: columns that each user took later; users without any count for the overlap only.
    """
    before, after = top_k(scores_float, 10), top_k(scores, 10)
    recall_float, recall = recall_at(10, before, targets), recall_at(10, after, targets)
    ndcg_float, ndcg = ndcg_at(10, before, targets), ndcg_at(10, after, targets)
    loss, ndcg_loss = estimate(recall_float - recall), estimate(ndcg_float - ndcg)
    return RankingChange(
        recall_float=estimate(recall_float).value,
        recall=estimate(recall).value,
        loss_se=loss.se if loss.users > 1 else 0.0,
        overlap=float(overlap_at(10, before, after).mean()),
        users=loss.users,
        recall_se=estimate(recall).se,
        ndcg_float=estimate(ndcg_float).value,
        ndcg=estimate(ndcg).value,
        ndcg_loss_se=ndcg_loss.se if loss.users > 1 else 0.0,
    )
