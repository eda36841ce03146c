"""Content alone: how similar the text of an item is to the texts of the history.

These baselines see no log, so they rank an item that nobody has taken like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix
from dualtower_trainer.baselines.unit_rows import centred_unit_rows
from dualtower_trainer.tfidf import tfidf_matrix

__all__ = ["fit_encoder", "fit_tfidf"]


def fit_tfidf(data: TrainingSet) -> Scorer:
    """Cosine between an item's TF-IDF vector and the sum of those of the history."""
    features = tfidf_matrix(data.texts)

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        profiles = _unit_rows(history_matrix(histories, data.n_items) @ features)
        return np.asarray((profiles @ features.T).todense(), np.float32)

    return score


def fit_encoder(data: TrainingSet, *, power: float = 1.0) -> Scorer:
    """Σ over the history of max(0, cosine)^power between content vectors.

    Vectors are centred first. A power of 1 is close to the cosine to the mean of the history;
    higher ones let the nearest items of a long history speak.
    """
    vectors = centred_unit_rows(data.content())
    similarity = np.maximum(vectors @ vectors.T, 0.0) ** np.float32(power)
    return lambda histories, users: np.asarray(
        history_matrix(histories, data.n_items) @ similarity, np.float32
    )


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.csr_matrix(sparse.diags(scale.astype(np.float32)) @ matrix)
