"""Item-based nearest neighbours on co-occurrence."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix

__all__ = ["fit_itemknn"]


def fit_itemknn(data: TrainingSet, *, neighbours: int = 200, shrink: float = 10) -> Scorer:
    """Sum over the history of shrunk cosine similarities, each item keeping its nearest neighbours.

    s_ij = c_ij / (√(c_ii c_jj) + shrink) on co-occurrence counts c (Deshpande & Karypis 2004,
    https://doi.org/10.1145/963770.963776).
    """
    counts = np.asarray((data.matrix.T @ data.matrix).todense(), np.float32)
    popularity = np.sqrt(np.diag(counts))
    similarity = counts / np.maximum(np.outer(popularity, popularity) + shrink, 1e-9)
    np.fill_diagonal(similarity, 0.0)
    if neighbours < len(similarity):
        cut = -np.partition(-similarity, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
        similarity[similarity < cut] = 0.0
    kept = sparse.csr_matrix(similarity)
    return lambda histories, users: np.asarray(
        (history_matrix(histories, kept.shape[0]) @ kept).todense(), np.float32
    )
