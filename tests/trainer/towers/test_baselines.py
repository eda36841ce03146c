"""Baselines against slow, obvious versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.baselines import (
    fit_ease,
    fit_itemknn,
    fit_popularity,
    fit_tfidf,
    interaction_matrix,
)

USERS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 4, 4])
ITEMS = np.array([0, 1, 2, 1, 3, 0, 1, 1, 2, 3])
HISTORIES = [np.array([1, 0]), np.array([], np.int64), np.array([3])]
TEXTS = ["green tea", "black tea strong", "green bread", "", "tea tea tea"]


def dense() -> np.ndarray:
    matrix = np.zeros((4, 5))
    for user, item in zip([0, 0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 2, 1, 3, 0, 1, 2, 3], strict=True):
        matrix[user, item] = 1
    return matrix


def test_the_matrix_is_binary() -> None:
    found = interaction_matrix(USERS, ITEMS, 5)
    np.testing.assert_array_equal(found.toarray(), dense())


def test_popularity_counts_users() -> None:
    scores = fit_popularity(interaction_matrix(USERS, ITEMS, 5))(HISTORIES)
    np.testing.assert_array_equal(scores, np.tile(dense().sum(0), (3, 1)))
    scores[0, 0] = -np.inf  # every caller may write into its scores
    assert np.isfinite(scores[1:]).all()


def test_ease_is_the_closed_form_and_its_stationary_point() -> None:
    regularisation = 0.7
    scores = fit_ease(interaction_matrix(USERS, ITEMS, 5), regularisation=regularisation)
    weights = scores([np.array([item]) for item in range(5)])
    x = dense()
    inverse = np.linalg.inv(x.T @ x + regularisation * np.eye(5))
    expected = np.eye(5) - inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    # the gradient of ‖X - XW‖² + λ‖W‖² vanishes off the diagonal
    gradient = -x.T @ (x - x @ weights) + regularisation * weights
    np.fill_diagonal(gradient, 0)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_itemknn_sums_shrunk_cosines_of_the_nearest() -> None:
    x = dense()
    counts = x.T @ x
    similarity = counts / (np.sqrt(np.outer(np.diag(counts), np.diag(counts))) + 10)
    np.fill_diagonal(similarity, 0)
    scores = fit_itemknn(interaction_matrix(USERS, ITEMS, 5), neighbours=5, shrink=10)(HISTORIES)
    for row, history in zip(scores, HISTORIES, strict=True):
        np.testing.assert_allclose(row, similarity[history].sum(0), atol=1e-6)
    nearest = fit_itemknn(interaction_matrix(USERS, ITEMS, 5), neighbours=1, shrink=10)
    kept = nearest([np.array([0])])[0]
    assert np.flatnonzero(kept).tolist() == [int(np.argmax(similarity[0]))]


def test_tfidf_scores_are_cosines_to_the_history() -> None:
    scores = fit_tfidf(TEXTS)([np.array([0]), np.array([3]), np.array([], np.int64)])
    assert scores[0, 0] == pytest.approx(1, abs=1e-6)
    assert scores[0, 1] > 0
    assert scores[0, 3] == 0
    assert not scores[1:].any()
