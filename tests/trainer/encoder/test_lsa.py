from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from dualtower_trainer.lsa import lsa_vectors, tfidf_matrix

TEXTS = [
    *("green tea", "green tea tea", "black tea", "black coffee", "coffee cup", "tea cup", "cup"),
    *("", "unique", "Green-tea!"),
]


def slow_tfidf(texts: list[str], min_texts: int) -> list[dict[str, float]]:
    """Term weights by their definition, one text at a time."""
    documents = []
    for text in texts:
        words = text.lower().replace("-", " - ").replace("!", " !").split()
        documents.append([*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))])
    rows = []
    for document in documents:
        weights = {}
        for term in set(document):
            texts_with = sum(term in other for other in documents)
            if texts_with >= min_texts:
                idf = math.log((1 + len(texts)) / (1 + texts_with)) + 1
                weights[term] = (1 + math.log(document.count(term))) * idf
        length = math.sqrt(sum(weight**2 for weight in weights.values()))
        rows.append({term: weight / length for term, weight in weights.items()})
    return rows


@pytest.mark.parametrize("min_texts", [1, 2])
def test_tfidf_equals_its_definition(min_texts: int) -> None:
    matrix = tfidf_matrix(TEXTS, min_texts=min_texts)
    rows = slow_tfidf(TEXTS, min_texts)
    assert matrix.shape == (len(TEXTS), len({term for row in rows for term in row}))
    assert matrix.dtype == np.float32
    cosines = [
        [sum(one[term] * other.get(term, 0.0) for term in one) for other in rows] for one in rows
    ]
    np.testing.assert_allclose((matrix @ matrix.T).toarray(), cosines, atol=1e-6)


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
def test_texts_without_shared_words_are_zero(texts: list[str]) -> None:
    got = lsa_vectors(tfidf_matrix(texts), 8, seed=0)
    assert got.shape == (len(texts), 8)
    assert not np.any(got)


def test_the_seed_only_turns_the_axes() -> None:
    matrix = tfidf_matrix(TEXTS)
    one, same, other = (lsa_vectors(matrix, 4, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-4)
