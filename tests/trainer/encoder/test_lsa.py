from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.lsa import lsa_vectors
from dualtower_trainer.tfidf import tfidf_matrix

TEXTS = [
    *("green tea", "green tea tea", "black tea", "black coffee", "coffee cup", "tea cup", "cup"),
    *("", "unique", "Green-tea!"),
]


@pytest.mark.parametrize("dim", [1, 3, 5])
def test_lsa_equals_a_full_svd(dim: int) -> None:
    matrix = tfidf_matrix(TEXTS)
    left, values, _ = np.linalg.svd(matrix.toarray().astype(np.float64), full_matrices=False)
    expected = (left * values)[:, :dim]
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = expected / np.where(lengths > 1e-6, lengths, 1)
    got = lsa_vectors(matrix, dim, seed=0)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got @ got.T, expected @ expected.T, atol=1e-4)


def test_more_directions_than_there_are_stay_zero() -> None:
    got = lsa_vectors(tfidf_matrix(TEXTS), 64, seed=0)
    assert got.shape == (len(TEXTS), 64)
    assert not np.any(got[:, 10:])
    cosines = (tfidf_matrix(TEXTS) @ tfidf_matrix(TEXTS).T).toarray()
    np.testing.assert_allclose(got @ got.T, cosines, atol=1e-5)


@pytest.mark.parametrize("texts", [[], [""], ["", "\x00"], ["one", "two"]])
def test_texts_without_counted_words_are_zero(texts: list[str]) -> None:
    got = lsa_vectors(tfidf_matrix(texts, min_texts=2), 8, seed=0)
    assert got.shape == (len(texts), 8)
    assert not np.any(got)


def test_the_seed_only_turns_the_axes() -> None:
    matrix = tfidf_matrix(TEXTS)
    one, same, other = (lsa_vectors(matrix, 4, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-4)
