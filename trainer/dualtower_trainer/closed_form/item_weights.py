"""Item-item weights: EASE, with texts as people who took everything that resembles them."""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse

__all__ = ["precision_matrix"]


def precision_matrix(
    taken: sparse.csr_matrix, kernel: np.ndarray | None, *, regularisation: float, text_pull: float
) -> np.ndarray:
    """P = (XᵀX + λ·pull·K + λ·I)⁻¹.

    EASE (Steck 2019, https://arxiv.org/abs/1905.03375) recommends by B with
    B_ij = -P_ij / P_jj for i ≠ j and B_ii = 0, the ridge regression of each item on all others.
    K = F Fᵀ adds, for every text feature, a person who took items in the measure in which they have
    it, so that items alike in text support each other where the log is thin.

    Args:
        taken: [users, items], 1 where a user took an item.
        kernel: float64 [items, items], K, or None.
        regularisation: λ.
        text_pull: the weight of K, in units of λ.

    Returns:
        float64 [items, items], symmetric.
    """
    gram = (taken.T @ taken).toarray().astype(np.float64)
    if kernel is not None and text_pull:
        gram += regularisation * text_pull * kernel
    gram[np.diag_indices_from(gram)] += regularisation
    factor, info = linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
    if info:
        raise ValueError(f"the regression is singular at regularisation {regularisation}")
    inverse, _ = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    lower = np.tril(inverse, -1)
    return lower + lower.T + np.diag(np.diag(inverse))
