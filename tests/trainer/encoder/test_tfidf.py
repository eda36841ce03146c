"""TF-IDF against its definition, one text at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dualtower_trainer.tfidf import tfidf_matrix

TEXTS = [
    *("green tea", "green tea tea", "black tea", "black coffee", "coffee cup", "tea cup", "cup"),
    *("", "unique", "Green-tea!"),
]


def slow_tfidf(texts: list[str], min_texts: int) -> list[dict[str, float]]:
    """Term weights by their definition, one text at a time."""
    documents = []
    for text in texts:
        words = text.lower().replace("-", " ").replace("!", "").split()
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
