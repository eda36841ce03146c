"""Item-item weights as one vector and one weight an item: the form that two towers can serve.

With d = √diag(P), the weights of EASE are B_ij = d_i · S_ij / d_j, where S = -P_ij / (d_i d_j) is
symmetric: the partial correlations. Its diagonal is free, since nobody is recommended what he has.
The best symmetric factors S ≈ V diag(sign) Vᵀ with a free diagonal (as in factor analysis) give

    item vector   z_j = V_j / d_j
    user vector   Σ_i d_i² · sign ∘ z_i      over the history,

so history and catalogue share one table, and `ln d_i²` is what an item weighs in a history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ItemFactors", "factorise"]

_OVERSAMPLED = 32
_FIRST_ROUNDS = 7
_LATER_ROUNDS = 3
_DIAGONAL_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class ItemFactors:
    """Factors of items.

    Attributes:
        vectors: float32 [items, rank], most important number first.
        log_weights: float32 [items], ln d².
        signs: float32 [rank], 1 or -1.
        spectrum: float32 [rank], |eigenvalue| over the largest, at most 1; 1 where there is none.
    """

    vectors: np.ndarray
    log_weights: np.ndarray
    signs: np.ndarray
    spectrum: np.ndarray


def factorise(precision: np.ndarray, rank: int, *, seed: int = 0) -> ItemFactors:
    """Factors of the weights that belong to a precision matrix float64 [items, items].

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011,
    https://arxiv.org/abs/0909.4061), the diagonal refilled from the factors between rounds. Of
    fewer items than `rank` the rest of the numbers are zero.
    """
    items = len(precision)
    deviations = np.sqrt(np.diag(precision))
    symmetric = (-precision / np.outer(deviations, deviations)).astype(np.float32)
    np.fill_diagonal(symmetric, 0)
    kept = min(rank, items)
    width = min(items, kept + _OVERSAMPLED)
    basis = np.random.default_rng(seed).normal(size=(items, width)).astype(np.float32)
    for turn in range(_DIAGONAL_ROUNDS):
        for _ in range(_LATER_ROUNDS if turn else _FIRST_ROUNDS):
            basis, _ = np.linalg.qr(symmetric @ basis)
        values, turned = np.linalg.eigh((basis.T @ (symmetric @ basis)).astype(np.float64))
        order = np.argsort(-np.abs(values), kind="stable")[:kept]
        values, leading = values[order], basis @ turned[:, order].astype(np.float32)
        filled = np.einsum("ik,k,ik->i", leading, values.astype(np.float32), leading)
        np.fill_diagonal(symmetric, filled)
    # the sign of an eigenvector is free; fixed here so that a run repeats itself
    leading *= np.where(leading.sum(axis=0) < 0, -1.0, 1.0)
    vectors = leading * np.sqrt(np.abs(values)) / deviations[:, None]
    padded = np.zeros((items, rank), np.float32)
    padded[:, :kept] = vectors
    signs = np.ones(rank, np.float32)
    signs[:kept] = np.where(values < 0, -1.0, 1.0)
    spectrum = np.ones(rank, np.float32)
    spectrum[:kept] = np.abs(values) / max(float(np.abs(values[0])), 1e-12)
    return ItemFactors(padded, np.log(deviations**2).astype(np.float32), signs, spectrum)
