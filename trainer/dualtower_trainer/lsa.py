"""TF-IDF and its truncated SVD (latent semantic analysis): what the tiny encoder learns from.

Terms are words and pairs of neighbouring words; weights are (1 + log tf) · (log((1 + n) / (1 + df))
+ 1) and rows have unit length (Salton and Buckley 1988). The SVD (Deerwester et al. 1990) is found
by subspace iteration from a random start (Halko et al. 2011, https://arxiv.org/abs/0909.4061), many
times faster here than Lanczos and exact enough for a teacher.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from dualtower_trainer.wordpiece import words_of

__all__ = ["lsa_vectors", "tfidf_matrix"]


_OVERSAMPLED = 32
_ITERATIONS = 6


def tfidf_matrix(texts: Sequence[str], *, min_texts: int = 2) -> sparse.csr_matrix:
    """TF-IDF of n texts, float32 [n, terms], rows of unit length; a row without terms is zero.

    A term counts only if it is in `min_texts` texts, for one that is in a single text says nothing
    about any other.
    """
    rows = [_terms(text) for text in texts]
    texts_with = Counter(term for row in rows for term in row)
    columns = {
        term: column
        for column, term in enumerate(sorted(t for t, n in texts_with.items() if n >= min_texts))
    }
    indptr, indices, values = [0], [], []
    for row in rows:
        for term, count in sorted(row.items()):
            if term in columns:
                idf = np.log((1 + len(texts)) / (1 + texts_with[term])) + 1
                indices.append(columns[term])
                values.append((1 + np.log(count)) * idf)
        indptr.append(len(indices))
    matrix = sparse.csr_matrix(
        (np.asarray(values, np.float64), indices, indptr), shape=(len(texts), len(columns))
    )
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = sparse.diags(1.0 / np.where(lengths > 0, lengths, 1.0))
    return sparse.csr_matrix(scale @ matrix, dtype=np.float32)


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


def _terms(text: str) -> Counter[str]:
    words = words_of(text)
    pairs = (f"{first} {second}" for first, second in itertools.pairwise(words))
    return Counter([*words, *pairs])
