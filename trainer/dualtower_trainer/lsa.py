"""Latent semantic analysis, the truncated SVD of TF-IDF: what the tiny encoder learns from.

The SVD (Deerwester et al. 1990) is found by subspace iteration from a random start (Halko et al.
2011, https://arxiv.org/abs/0909.4061), many times faster here than Lanczos and exact enough for a
teacher.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["lsa_vectors"]


_OVERSAMPLED = 32
_ITERATIONS = 6


def lsa_vectors(matrix: sparse.csr_matrix, dim: int, *, seed: int) -> np.ndarray:
    """Rows of `matrix` [n, terms] in its `dim` strongest directions, float32 [n, dim], unit length.

    Where the matrix has fewer directions the rest is zero; so is a row without terms.
    """
    vectors = np.zeros((matrix.shape[0], dim), np.float32)
    width = min(dim + _OVERSAMPLED, *matrix.shape)
    if matrix.nnz:
        basis = np.random.default_rng(seed).normal(size=(matrix.shape[1], width))
        for _ in range(_ITERATIONS):
            basis = _principal(matrix.T @ (matrix @ basis), scaled=True)
        projected = _principal(matrix @ basis, scaled=False)[:, :dim]
        vectors[:, : projected.shape[1]] = projected
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 1e-6, lengths, 1.0)


def _principal(columns: np.ndarray, *, scaled: bool) -> np.ndarray:
    """`columns` [n, k] rotated to their principal axes, the strongest first, without empty ones.

    With `scaled` each axis has unit length, which makes an orthonormal basis. By the k × k Gram
    matrix: one large product, where a QR of many small ones crawls when cores are shared.
    """
    strength, axes = np.linalg.eigh(columns.T @ columns)
    kept = strength > strength[-1] * 1e-12
    strength, axes = strength[kept][::-1], axes[:, kept][:, ::-1]
    rotated = columns @ axes
    return rotated / np.sqrt(strength) if scaled else rotated
