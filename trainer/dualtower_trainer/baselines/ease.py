"""The closed-form linear autoencoder with a zero diagonal, EASE.

Stands for the article's "SimReco" (similarity-based top-N), beside SLIM.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix

__all__ = ["ease_weights", "fit_ease"]


def fit_ease(data: TrainingSet, *, regularisation: float) -> Scorer:
    """Sum over the history of the rows of `ease_weights`."""
    weights = ease_weights(data, regularisation=regularisation)
    return lambda histories, users: np.asarray(
        history_matrix(histories, len(weights)) @ weights, np.float32
    )


def ease_weights(data: TrainingSet, *, regularisation: float) -> np.ndarray:
    """W = I - P / diag(P) with P = (XᵀX + λI)⁻¹, float32 [items, items].

    Steck 2019, https://arxiv.org/abs/1905.03375; by Cholesky in float32.
    """
    gram = np.asarray((data.matrix.T @ data.matrix).todense(), np.float32)
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
    return weights
