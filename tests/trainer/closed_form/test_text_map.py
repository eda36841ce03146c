"""The map from texts to factors, against the same ridge regression solved in the primal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dualtower_trainer.closed_form import TextFeatures, fit_text_map


def test_features_are_centred_unit_vectors_and_their_kernel_is_an_inner_product(features) -> None:
    np.testing.assert_allclose(np.linalg.norm(features.dense, axis=1), 1, atol=1e-6)
    rows, columns = np.array([3, 4]), np.array([0, 4, 9])
    joined = np.concatenate([features.bag.toarray(), 0.5 * features.dense], axis=1)
    expected = joined[rows].astype(np.float64) @ joined[columns].T
    np.testing.assert_allclose(features.kernel(rows, columns), expected, atol=1e-6)


def test_a_text_at_the_mean_has_no_direction() -> None:
    encodings = np.ones((2, 3), np.float32)
    bag = sparse.csr_matrix((2, 1), dtype=np.float32)
    assert not TextFeatures.of(bag, encodings, encodings[0], 0.5).dense.any()


@pytest.mark.parametrize("ridge", [0.3, 5.0])
def test_it_is_the_primal_ridge_solution(features, ridge: float) -> None:
    random = np.random.default_rng(2)
    rows = np.sort(random.choice(30, 20, replace=False))
    targets = random.normal(size=(20, 4)).astype(np.float32)
    popularity = random.integers(1, 90, 20)
    centred = np.array([False, False, True, False])
    found = fit_text_map(features, rows, targets, popularity, ridge=ridge, centred=centred)

    weights = np.sqrt(popularity)
    bias = np.where(centred, (weights[:, None] * targets).sum(0) / weights.sum(), 0)
    joined = np.concatenate([features.bag.toarray(), 0.5 * features.dense], axis=1)
    f = joined[rows].astype(np.float64)
    solved = np.linalg.solve(
        (f * weights[:, None]).T @ f + ridge * np.eye(f.shape[1]),
        (f * weights[:, None]).T @ (targets - bias),
    )
    grams = features.bag.shape[1]
    np.testing.assert_allclose(found.table, solved[:grams], atol=1e-5)
    np.testing.assert_allclose(found.projection, 0.5 * solved[grams:], atol=1e-5)
    np.testing.assert_allclose(found.bias, bias, atol=1e-6)
    np.testing.assert_allclose(found.apply(features), joined @ solved + bias, atol=1e-5)
