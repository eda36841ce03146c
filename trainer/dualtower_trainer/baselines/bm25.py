"""BM25: the texts of the history as a query, the text of an item as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix
from dualtower_trainer.wordpiece import words_of

__all__ = ["bm25_weights", "fit_bm25", "word_counts"]


def fit_bm25(data: TrainingSet, *, k1: float = 1.2, b: float = 0.75, k3: float = 8.0) -> Scorer:
    """Σ over the words of the history of their BM25 weight in the item's text.

    A word that the history holds q times counts (k3 + 1)·q / (k3 + q) times (Robertson & Zaragoza
    2009, https://doi.org/10.1561/1500000019).
    """
    counts = word_counts(data.texts)
    weights = bm25_weights(counts, k1=k1, b=b).T.tocsr()

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        query = sparse.csr_matrix(history_matrix(histories, data.n_items) @ counts)
        query.data = (k3 + 1) * query.data / (k3 + query.data)
        return np.asarray((query @ weights).todense(), np.float32)

    return score


def bm25_weights(counts: sparse.csr_matrix, *, k1: float, b: float) -> sparse.csr_matrix:
    """idf_w · tf·(k1 + 1) / (tf + k1·(1 − b + b·length / mean length)), float32 [texts, words].

    idf_w = log(1 + (n − df + ½) / (df + ½)), which is never negative.
    """
    n_texts = counts.shape[0]
    texts_with = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log1p((n_texts - texts_with + 0.5) / (texts_with + 0.5))
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9))
    rows = np.repeat(np.arange(n_texts), np.diff(counts.indptr))
    weights = counts.copy()
    weights.data = (
        idf[counts.indices] * counts.data * (k1 + 1) / (counts.data + norm[rows])
    ).astype(np.float32)
    return weights


def word_counts(texts: Sequence[str]) -> sparse.csr_matrix:
    """How often each word is in each text, float32 [texts, words], without punctuation."""
    rows = [Counter(word for word in words_of(text) if word.isalnum()) for text in texts]
    columns = {word: place for place, word in enumerate(sorted(set().union(*rows)))}
    indices = [columns[word] for row in rows for word in row]
    values = [count for row in rows for count in row.values()]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    matrix = sparse.csr_matrix(
        (np.asarray(values, np.float32), np.asarray(indices, np.int64), indptr),
        shape=(len(texts), len(columns)),
    )
    matrix.sort_indices()
    return matrix
