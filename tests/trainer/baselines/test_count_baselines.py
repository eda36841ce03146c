"""Baselines that count, against slow and obvious versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from dualtower_trainer.baselines import TrainingSet, history_matrix
from dualtower_trainer.baselines.ease import ease_weights, fit_ease
from dualtower_trainer.baselines.itemknn import fit_itemknn
from dualtower_trainer.baselines.popularity import fit_popularity, fit_recent_popularity
from dualtower_trainer.baselines.slim import elastic_net, fit_slim
from dualtower_trainer.baselines.trend import Trend, with_trend

HISTORIES = [np.array([1, 0]), np.array([], np.int64), np.array([3])]
USERS = np.array([0, -1, 1])


def dense(data: TrainingSet) -> np.ndarray:
    matrix = np.zeros((len(data.log.user_ids), data.n_items))
    matrix[data.log.users, data.log.items] = 1
    return matrix


def test_the_matrix_has_a_row_for_every_user_code(tiny: TrainingSet) -> None:
    np.testing.assert_array_equal(tiny.matrix.toarray(), dense(tiny))
    assert tiny.matrix.shape == (5, 5)
    np.testing.assert_array_equal(
        history_matrix([np.array([2, 2]), np.array([], int)], 3).toarray(), [[0, 0, 2], [0, 0, 0]]
    )


def test_popularity_counts_users(tiny: TrainingSet) -> None:
    scores = fit_popularity(tiny)(HISTORIES, USERS)
    np.testing.assert_array_equal(scores, np.tile(dense(tiny).sum(0), (3, 1)))
    scores[0, 0] = -np.inf  # every caller may write into its scores
    assert np.isfinite(scores[1:]).all()


def test_recent_popularity_halves_with_the_half_life(tiny: TrainingSet) -> None:
    scores = fit_recent_popularity(tiny, half_life_days=2)(HISTORIES, USERS)[0]
    expected = np.zeros(5)
    for item, day in zip(tiny.log.items, range(1, 10), strict=True):
        expected[item] += 0.5 ** ((9 - day) / 2)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_trend_factors_by_hand(tiny: TrainingSet) -> None:
    # days 8 and 9 lie within the last 1.5 days: items 2 and 3 once each
    factors = Trend(window_days=1.5, power=0.5, added=2).factors(tiny)
    overall = dense(tiny).sum(0)
    recent = np.array([0, 0, 1, 1, 0])
    np.testing.assert_allclose(factors, np.sqrt((recent + 2) / (overall + 2)), rtol=1e-6)
    np.testing.assert_array_equal(Trend(1.5, 0).factors(tiny), np.ones(5))


def test_a_rising_item_never_falls_by_its_trend() -> None:
    scores = with_trend(lambda h, u: np.array([[2.0, -2.0]]), np.array([4.0, 4.0]))([], USERS)
    np.testing.assert_array_equal(scores, [[8.0, -0.5]])


def test_itemknn_sums_shrunk_cosines_of_the_nearest(tiny: TrainingSet) -> None:
    counts = dense(tiny).T @ dense(tiny)
    similarity = counts / (np.sqrt(np.outer(np.diag(counts), np.diag(counts))) + 10)
    np.fill_diagonal(similarity, 0)
    scores = fit_itemknn(tiny, neighbours=5, shrink=10)(HISTORIES, USERS)
    for row, history in zip(scores, HISTORIES, strict=True):
        np.testing.assert_allclose(row, similarity[history].sum(0), atol=1e-6)
    kept = fit_itemknn(tiny, neighbours=1, shrink=10)([np.array([0])], USERS[:1])[0]
    assert np.flatnonzero(kept).tolist() == [int(np.argmax(similarity[0]))]


def test_ease_solves_its_own_problem(tiny: TrainingSet) -> None:
    """Each column is a ridge regression of an item on all others (normal equations, in float64)."""
    x, lam = dense(tiny), 2.0
    weights = ease_weights(tiny, regularisation=lam)
    assert not np.diag(weights).any()
    for item in range(5):
        others = [other for other in range(5) if other != item]
        a = x[:, others]
        solved = np.linalg.solve(a.T @ a + lam * np.eye(4), a.T @ x[:, item])
        np.testing.assert_allclose(weights[others, item], solved, atol=1e-5)
    scores = fit_ease(tiny, regularisation=lam)(HISTORIES, USERS)
    np.testing.assert_allclose(scores[0], weights[[0, 1]].sum(0), atol=1e-6)


def test_ease_names_a_matrix_it_cannot_invert(tiny: TrainingSet) -> None:
    with pytest.raises(np.linalg.LinAlgError, match="raise λ"):
        fit_ease(tiny, regularisation=-1.0)


def test_elastic_nets_are_where_a_bounded_solver_finds_them() -> None:
    random = np.random.default_rng(0)
    a, y = random.normal(size=(4, 30, 6)), random.normal(size=(4, 30))
    gram = np.einsum("pri,prj->pij", a, a).astype(np.float32)
    target = np.einsum("pri,pr->pi", a, y).astype(np.float32)
    l1, l2 = 1.5, 3.0
    found = elastic_net(gram, target, l1, l2, sweeps=200)
    for problem in range(4):

        def loss(w: np.ndarray, problem: int = problem) -> float:
            left = y[problem] - a[problem] @ w
            return 0.5 * left @ left + 0.5 * l2 * w @ w + l1 * w.sum()

        best = optimize.minimize(loss, np.full(6, 0.1), bounds=[(0, None)] * 6, tol=1e-12)
        np.testing.assert_allclose(found[problem], best.x, atol=1e-4)


def test_slim_without_l1_and_with_every_candidate_is_a_ridge_where_that_is_positive(
    planted,
) -> None:
    data = planted.full
    scores = fit_slim(data, l1=0.0, l2=1e7, candidates=data.n_items - 1, sweeps=50)
    weights = scores([np.array([item]) for item in range(data.n_items)], np.zeros(60, int))
    assert not np.diag(weights).any()
    assert (weights >= 0).all()
    # with a huge ridge the coordinates do not feel each other: w_ji = g_ji / (g_jj + l2)
    gram = (data.matrix.T @ data.matrix).toarray()
    expected = gram / (np.diag(gram)[:, None] + 1e7)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(weights, expected, rtol=2e-3, atol=1e-12)


def test_slim_keeps_only_the_candidates(planted) -> None:
    scores = fit_slim(planted.full, l1=0.0, l2=1.0, candidates=5)
    weights = scores([np.array([item]) for item in range(60)], np.zeros(60, int))
    assert ((weights > 0).sum(axis=0) <= 5).all()
