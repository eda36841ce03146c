"""People and items as one graph, along whose edges vectors are averaged.

    Â = D^-1/2 · [[0, R], [Rᵀ, 0]] · D^-1/2

R is the binary log, D the degrees. One product with Â gives every node the normalised sum of its
neighbours (LightGCN: He et al. 2020, https://arxiv.org/abs/2002.02126). Nodes are the users, then
the items. Â is symmetric, so that the same product carries gradients back.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["inverse_roots", "normalised_graph"]


def normalised_graph(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Â, float32 [users + items, users + items], of a binary matrix [users, items]."""
    of_users, of_items = inverse_roots(matrix)
    scaled = sparse.diags(of_users) @ matrix @ sparse.diags(of_items)
    return sparse.csr_matrix(sparse.bmat([[None, scaled], [scaled.T, None]]), dtype=np.float32)


def inverse_roots(matrix: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """degree^-1/2 of users and of items, float32; 0 where there is no edge."""
    roots = []
    for axis in (1, 0):
        degrees = np.asarray(matrix.sum(axis=axis), np.float32).ravel()
        roots.append(np.where(degrees > 0, np.maximum(degrees, 1), np.inf) ** np.float32(-0.5))
    return roots[0], roots[1]
