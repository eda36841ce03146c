"""The precision matrix against numpy's inverse and EASE's own regression, and its factors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dualtower_trainer.closed_form import factorise, precision_matrix


@pytest.mark.parametrize("text_pull", [0.0, 0.1, 2.0])
def test_it_is_the_inverse(taken, features, text_pull: float) -> None:
    rows = np.arange(29)
    kernel = features.kernel(rows, rows)
    found = precision_matrix(taken[:, rows], kernel, regularisation=7.0, text_pull=text_pull)
    x = taken[:, rows].toarray().astype(np.float64)
    bag = features.bag[rows].toarray().astype(np.float64)
    dense = 0.5 * features.dense[rows].astype(np.float64)
    people = np.concatenate([bag, dense], axis=1)  # [items, features]: a column is a person
    expected = np.linalg.inv(x.T @ x + 7.0 * text_pull * people @ people.T + 7.0 * np.eye(29))
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_array_equal(found, found.T)


def test_it_gives_the_weights_of_ease(taken) -> None:
    """Each column of B is a ridge regression of an item on all the others."""
    x, items = taken.toarray().astype(np.float64), taken.shape[1]
    precision = precision_matrix(taken, None, regularisation=3.0, text_pull=0.1)
    weights = -precision / np.diag(precision)
    for item in (0, 7, 28):
        others = np.delete(np.arange(items), item)
        a = x[:, others]
        solved = np.linalg.solve(a.T @ a + 3.0 * np.eye(items - 1), a.T @ x[:, item])
        np.testing.assert_allclose(weights[others, item], solved, atol=1e-9)


def test_a_matrix_that_cannot_be_inverted_is_named() -> None:
    twins = sparse.csr_matrix(np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="singular at regularisation 0"):
        precision_matrix(twins, None, regularisation=0.0, text_pull=0.0)


def planted(items: int, spectrum: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A precision matrix whose partial correlations are of low rank off the diagonal, and d."""
    random = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(random.normal(size=(items, len(spectrum))))
    symmetric = basis @ np.diag(spectrum) @ basis.T
    np.fill_diagonal(symmetric, -1.0)
    deviations = random.uniform(0.5, 2, items)
    return -symmetric * np.outer(deviations, deviations), deviations


def rebuilt(factors, rows: slice = slice(None)) -> np.ndarray:
    """S from the factors: z_j · d_j are its scaled eigenvectors."""
    scaled = factors.vectors * np.exp(factors.log_weights / 2)[:, None]
    return (scaled * factors.signs) @ scaled.T


@pytest.mark.parametrize("spectrum", [[0.9, 0.5, 0.3], [0.9, -0.6, 0.4, -0.2]])
def test_planted_weights_are_found_whatever_stands_on_the_diagonal(spectrum: list[float]) -> None:
    precision, deviations = planted(120, spectrum)
    factors = factorise(precision, len(spectrum))
    np.testing.assert_allclose(factors.log_weights, np.log(deviations**2), atol=1e-5)
    np.testing.assert_array_equal(factors.signs, np.sign(spectrum))
    expected = -precision / np.outer(deviations, deviations)
    off = ~np.eye(120, dtype=bool)
    error = np.linalg.norm((rebuilt(factors) - expected)[off])
    with_zeros = expected.copy()
    np.fill_diagonal(with_zeros, 0)
    values, vectors = np.linalg.eigh(with_zeros)
    kept = np.argsort(-np.abs(values))[: len(spectrum)]
    plain = (vectors[:, kept] * values[kept]) @ vectors[:, kept].T
    assert error < 0.02 * np.linalg.norm(expected[off])
    assert error < 0.5 * np.linalg.norm((plain - expected)[off]), "a diagonal of zeros is worse"
    found = np.abs(factors.spectrum * np.abs(spectrum[0]))
    np.testing.assert_allclose(found, np.abs(spectrum), rtol=0.05)


def test_it_agrees_with_alternating_full_eigendecompositions(taken) -> None:
    """The slow road: all eigenvectors, the diagonal refilled, as often as the fast one does."""
    precision = precision_matrix(taken, None, regularisation=5.0, text_pull=0.0)
    deviations = np.sqrt(np.diag(precision))
    symmetric = -precision / np.outer(deviations, deviations)
    np.fill_diagonal(symmetric, 0)
    for _ in range(3):
        values, vectors = np.linalg.eigh(symmetric)
        kept = np.argsort(-np.abs(values))[:6]
        model = (vectors[:, kept] * values[kept]) @ vectors[:, kept].T
        np.fill_diagonal(symmetric, np.diag(model))
    np.testing.assert_allclose(rebuilt(factorise(precision, 6)), model, atol=1e-4)


def test_it_repeats_itself_and_fills_up_what_is_not_there(taken) -> None:
    precision = precision_matrix(taken, None, regularisation=5.0, text_pull=0.0)
    one, other = factorise(precision, 40), factorise(precision, 40)
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.vectors.shape == (30, 40)
    assert not one.vectors[:, 30:].any()
    np.testing.assert_array_equal(one.spectrum[30:], 1)
    assert (one.vectors.sum(axis=0) >= -1e-4).mean() > 0.5
