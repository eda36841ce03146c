"""One set of vectors that every loss is tried on, and finite differences."""

from __future__ import annotations

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import dualtower_trainer  # noqa: F401  sets TensorFlow's environment

BATCH, TARGETS, ITEMS, DIM, DRAWN = 4, 3, 30, 8, 9


@dataclass
class Example:
    """A batch by item rows, all float64: `items` is the catalogue, the rest points into it."""

    users: np.ndarray
    items: np.ndarray
    target_rows: np.ndarray
    mask: np.ndarray
    candidate_rows: np.ndarray
    log_count: np.ndarray
    accidental: np.ndarray
    weights: np.ndarray
    temperature: float = 0.2

    def arguments(self) -> dict[str, np.ndarray]:
        """The common signature of `make_loss`."""
        return {
            "users": self.users,
            "positives": self.items[self.target_rows],
            "positive_mask": self.mask,
            "candidates": self.items[self.candidate_rows],
            "log_expected_count": self.log_count,
            "accidental": self.accidental,
            "temperature": np.float64(self.temperature),
            "weights": self.weights,
        }


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Vectors of length 1 in random directions."""
    values = random.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture
def example() -> Example:
    random = np.random.default_rng(11)
    targets = random.integers(0, ITEMS, (BATCH, TARGETS))
    mask = np.ones((BATCH, TARGETS))
    mask[1, 2] = mask[3, 1] = mask[3, 2] = 0
    rows = np.concatenate([targets.ravel(), random.integers(0, ITEMS, DRAWN)])
    own = (rows[None, :, None] == targets[:, None, :]).any(2)
    padding = np.concatenate([mask.ravel() == 0, np.zeros(DRAWN, bool)])
    return Example(
        users=unit(random, BATCH, DIM),
        items=unit(random, ITEMS, DIM),
        target_rows=targets,
        mask=mask,
        candidate_rows=rows,
        log_count=random.normal(size=ITEMS)[rows],
        accidental=own | padding[None] | (random.random((BATCH, len(rows))) < 0.1),
        weights=random.uniform(0.5, 2, (BATCH, TARGETS)),
    )


@pytest.fixture
def numeric_gradient() -> Callable[[Callable[[np.ndarray], float], np.ndarray], np.ndarray]:
    def central(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
        result = np.zeros_like(at)
        for index in np.ndindex(*at.shape):
            step = np.zeros_like(at)
            step[index] = 1e-6
            result[index] = (float(function(at + step)) - float(function(at - step))) / 2e-6
        return result

    return central
