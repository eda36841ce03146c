"""What a dual tower has to beat: popularity, TF-IDF, ItemKNN and EASE, on the same split.

Each `fit_*` returns a scorer: histories (rows of the catalogue, most recent first) to scores
float32 [users, items]. None of them sees anything but the training part of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import linalg, sparse

from dualtower_trainer.tfidf import tfidf_matrix

__all__ = [
    "Scorer",
    "fit_ease",
    "fit_itemknn",
    "fit_popularity",
    "fit_tfidf",
    "interaction_matrix",
]

Scorer = Callable[[Sequence[np.ndarray]], np.ndarray]


def interaction_matrix(users: np.ndarray, items: np.ndarray, n_items: int) -> sparse.csr_matrix:
    """Binary float32 [users, items] from parallel codes; repeated pairs count once."""
    _, rows = np.unique(users, return_inverse=True)
    shape = (int(rows.max()) + 1 if len(rows) else 0, n_items)
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, items)), shape=shape)
    matrix.data[:] = 1.0
    return matrix


def fit_popularity(matrix: sparse.csr_matrix) -> Scorer:
    """Scores an item by the number of users who took it in training, the same for everybody."""
    counts = np.asarray(matrix.sum(axis=0), np.float32).ravel()
    return lambda histories: np.broadcast_to(counts, (len(histories), len(counts))).copy()


def fit_tfidf(texts: Sequence[str]) -> Scorer:
    """Cosine between an item's TF-IDF vector and the sum of those of the history."""
    features = tfidf_matrix(texts)

    def score(histories: Sequence[np.ndarray]) -> np.ndarray:
        profiles = _unit_rows(_history_matrix(histories, len(texts)) @ features)
        return np.asarray((profiles @ features.T).todense(), np.float32)

    return score


def fit_itemknn(matrix: sparse.csr_matrix, *, neighbours: int = 200, shrink: float = 10) -> Scorer:
    """Sum over the history of shrunk cosine similarities, each item keeping its nearest neighbours.

    s_ij = c_ij / (√(c_ii c_jj) + shrink) on co-occurrence counts c (Deshpande & Karypis 2004,
    https://doi.org/10.1145/963770.963776).
    """
    counts = np.asarray((matrix.T @ matrix).todense(), np.float32)
    popularity = np.sqrt(np.diag(counts))
    similarity = counts / (np.outer(popularity, popularity) + shrink)
    np.fill_diagonal(similarity, 0.0)
    if neighbours < len(similarity):
        cut = -np.partition(-similarity, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
        similarity[similarity < cut] = 0.0
    kept = sparse.csr_matrix(similarity)
    return lambda histories: np.asarray(
        (_history_matrix(histories, kept.shape[0]) @ kept).todense(), np.float32
    )


def fit_ease(matrix: sparse.csr_matrix, *, regularisation: float) -> Scorer:
    """The closed-form linear autoencoder with a zero diagonal: W = I - P / diag(P).

    P = (XᵀX + λI)⁻¹ (Steck 2019, https://arxiv.org/abs/1905.03375), by Cholesky in float32.
    """
    gram = np.asarray((matrix.T @ matrix).todense(), np.float32)
    gram[np.diag_indices_from(gram)] += regularisation
    factor, failed = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_inverse = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_inverse:
        raise np.linalg.LinAlgError(
            f"EASE: the Gram matrix with λ={regularisation} is not positive definite; raise λ"
        )
    weights = np.tril(inverse)
    weights += np.tril(weights, -1).T
    weights /= -np.diag(weights).copy()
    np.fill_diagonal(weights, 0.0)
    return lambda histories: np.asarray(
        _history_matrix(histories, len(weights)) @ weights, np.float32
    )


def _history_matrix(histories: Sequence[np.ndarray], n_items: int) -> sparse.csr_matrix:
    lengths = [len(history) for history in histories]
    columns = np.concatenate([*histories, np.empty(0, np.int64)]).astype(np.int64)
    return sparse.csr_matrix(
        (np.ones(len(columns), np.float32), columns, np.concatenate([[0], np.cumsum(lengths)])),
        shape=(len(histories), n_items),
    )


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.csr_matrix(sparse.diags(scale.astype(np.float32)) @ matrix)
