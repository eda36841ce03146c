"""A small log and the features of its texts, drawn once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dualtower_trainer.closed_form import TextFeatures

USERS, ITEMS, GRAMS, HIDDEN = 80, 30, 12, 5


@pytest.fixture(scope="session")
def taken() -> sparse.csr_matrix:
    """float32 [80, 30] of 0 and 1; item 29 was never taken."""
    random = np.random.default_rng(0)
    tastes, kinds = random.normal(size=(USERS, 3)), random.normal(size=(ITEMS, 3))
    chosen = (tastes @ kinds.T + random.normal(size=(USERS, ITEMS)) > 1).astype(np.float32)
    chosen[:, -1] = 0
    return sparse.csr_matrix(chosen)


@pytest.fixture(scope="session")
def features() -> TextFeatures:
    """A bag of unit rows (row 3 is empty) beside encodings around their mean."""
    random = np.random.default_rng(1)
    bag = random.random((ITEMS, GRAMS)) * (random.random((ITEMS, GRAMS)) < 0.3)
    bag[3] = 0
    lengths = np.linalg.norm(bag, axis=1, keepdims=True)
    bag = sparse.csr_matrix((bag / np.where(lengths > 0, lengths, 1)).astype(np.float32))
    encodings = random.normal(size=(ITEMS, HIDDEN)).astype(np.float32)
    return TextFeatures.of(bag, encodings, encodings.mean(axis=0), 0.5)
