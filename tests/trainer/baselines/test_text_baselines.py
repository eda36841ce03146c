"""Baselines that read, against formulas written out word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dualtower_trainer.baselines import TrainingSet
from dualtower_trainer.baselines.bm25 import bm25_weights, fit_bm25, word_counts
from dualtower_trainer.baselines.text_similarity import fit_encoder, fit_tfidf

HISTORIES = [np.array([0]), np.array([3]), np.array([], np.int64)]
USERS = np.array([0, 1, -1])


def test_tfidf_scores_are_cosines_to_the_history(tiny: TrainingSet) -> None:
    scores = fit_tfidf(tiny)(HISTORIES, USERS)
    assert scores[0, 0] == pytest.approx(1, abs=1e-6)
    assert scores[0, 1] > 0
    assert scores[0, 3] == 0
    assert not scores[1:].any()


def test_bm25_by_hand(tiny: TrainingSet) -> None:
    k1, b, k3 = 1.5, 0.6, 4.0
    documents = [text.split() for text in tiny.texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = fit_bm25(tiny, k1=k1, b=b, k3=k3)([np.array([0, 1, 4])], USERS[:1])[0]
    query: dict[str, int] = {}
    for item in (0, 1, 4):
        for word in documents[item]:
            query[word] = query.get(word, 0) + 1
    for item, document in enumerate(documents):
        total = 0.0
        for word, q in query.items():
            tf = document.count(word)
            df = sum(word in other for other in documents)
            idf = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
            weight = tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(document) / mean)) if tf else 0
            total += idf * weight * (k3 + 1) * q / (k3 + q)
        assert scores[item] == pytest.approx(total, rel=1e-5)


def test_words_are_counted_without_punctuation() -> None:
    counts = word_counts(["Tea, tea!", "", "--"])
    assert counts.toarray().tolist() == [[2], [0], [0]]
    assert not bm25_weights(counts, k1=1.2, b=0.75).toarray()[1:].any()


def test_encoder_scores_are_powers_of_cosines_of_centred_vectors(tiny: TrainingSet) -> None:
    vectors = tiny.content().astype(np.float64)
    vectors = vectors - vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = sum(np.maximum(vectors @ vectors[item], 0) ** 3 for item in (0, 2))
    scores = fit_encoder(tiny, power=3)([np.array([0, 2]), np.array([], int)], USERS[:2])
    np.testing.assert_allclose(scores[0], expected, atol=1e-6)
    assert not scores[1].any(), "nobody is guessed at without a history"
