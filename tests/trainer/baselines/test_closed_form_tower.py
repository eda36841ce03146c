"""The closed-form towers as a baseline: their formula, and what they find."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dualtower_trainer.baselines import BASELINES, TrainingSet, Tuning
from dualtower_trainer.closed_form.config import ClosedFormConfig
from dualtower_trainer.data import Heldout

NOBODY = Heldout(np.empty(0, np.int32), np.empty(0, object), [], [], [])
FORM = BASELINES["closed_form"]


@pytest.fixture(scope="module")
def without_text(planted: Tuning) -> Tuning:
    """Texts and contents that say nothing, so that only the log is left."""
    data = TrainingSet(planted.full.log, [""] * 60, lambda: np.ones((60, 2), np.float32))
    return dataclasses.replace(planted, train=data, full=data, validation=NOBODY)


def test_without_texts_it_is_ease_symmetrically(without_text: Tuning) -> None:
    """Rank 382 cuts nothing of 50 items: Σ d_i · S_ij / d_j, S sharpened by eigenvalue."""
    config = ClosedFormConfig()
    scorer = FORM.fit(without_text).scorer
    x = without_text.full.matrix.toarray().astype(np.float64)[:, :50]
    precision = np.linalg.inv(x.T @ x + config.regularisation[0] * np.eye(50))
    deviations = np.sqrt(np.diag(precision))
    symmetric = -precision / np.outer(deviations, deviations)
    np.fill_diagonal(symmetric, 0)
    values, vectors = np.linalg.eigh(symmetric)
    gain = (np.abs(values) / np.abs(values).max()) ** config.sharpening[0]
    sharper = (vectors * values * gain) @ vectors.T
    histories = without_text.full.log.items[:30].reshape(3, 10)
    found = scorer(list(histories), np.arange(3))[:, :50]
    nobody = scorer([np.array([], np.int32)], np.array([-1]))[0, :50]
    for row, history in zip(found, histories, strict=True):
        expected = (deviations[history] @ sharper[history]) / deviations
        ours = row - nobody
        factor = (ours @ expected) / (expected @ expected)
        assert factor > 0
        np.testing.assert_allclose(ours, factor * expected, atol=2e-3 * np.abs(ours).max())


def test_it_finds_planted_tastes_and_places_unseen_items(planted: Tuning) -> None:
    fitted = FORM.fit(planted)
    assert "regularisation" in fitted.note
    popular = BASELINES["popularity"].fit(planted)
    assert planted.recall(fitted.scorer) > planted.recall(popular.scorer) + 0.1
    kinds = planted.full.content()
    histories = planted.validation.histories
    scores = fitted.scorer(histories, np.arange(240))[:, 50:]
    likes = np.array([kinds[50:] @ kinds[history].mean(axis=0) for history in histories])
    pairs = zip(scores, likes, strict=True)
    agreement = [np.corrcoef(ours, theirs)[0, 1] for ours, theirs in pairs]
    assert np.mean(agreement) > 0.5


def test_it_reads_vectors_of_another_modality(without_text: Tuning, planted: Tuning) -> None:
    """Where texts say nothing, unseen items are placed by their features alone."""
    kinds = planted.full.content()
    seeing = dataclasses.replace(without_text.full, features=kinds)
    tuning = dataclasses.replace(without_text, train=seeing, full=seeing)
    histories = planted.validation.histories
    scores = FORM.fit(tuning).scorer(histories, np.arange(240))[:, 50:]
    likes = np.stack([kinds[history].mean(axis=0) for history in histories]) @ kinds[50:].T
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(scores, likes, strict=True)]
    assert np.mean(agreement) > 0.5
