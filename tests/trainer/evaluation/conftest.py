"""A trial with all that can be in one: a blocked item, cold items, categories, an empty history."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.data import Catalogue, Heldout
from dualtower_trainer.trial import Trial

N_ITEMS, N_USERS, N_WARM, BLOCKED = 120, 40, 90, 7


@pytest.fixture(scope="session")
def trial() -> Trial:
    random = np.random.default_rng(8)
    catalogue = Catalogue(
        item_ids=np.array([f"i{row}" for row in range(N_ITEMS)], object),
        texts=np.array([f"item {row}" for row in range(N_ITEMS)], object),
        categories=np.array([("tea", "ale", "")[row % 3] for row in range(N_ITEMS)], object),
        blocked=np.arange(N_ITEMS) == BLOCKED,
    )
    warm = np.arange(N_ITEMS) < N_WARM
    histories, warm_targets, cold_targets = [], [], []
    for user in range(N_USERS):
        mixed = random.permutation(N_WARM).astype(np.int32)
        length = 0 if user == 0 else int(random.integers(1, 40))
        histories.append(mixed[:length])
        warm_targets.append(mixed[length : length + int(random.integers(0, 30))])
        cold_targets.append(
            (N_WARM + random.permutation(30)[: int(random.integers(0, 5))]).astype(np.int32)
        )
    return Trial(
        catalogue,
        Heldout(
            np.arange(-1, N_USERS - 1, dtype=np.int32),
            np.array([f"u{user}" for user in range(N_USERS)], object),
            histories,
            warm_targets,
            cold_targets,
        ),
        warm=warm,
        cold=~warm,
        popularity=np.arange(N_ITEMS)[::-1].copy(),
    )


@pytest.fixture(scope="session")
def scores() -> np.ndarray:
    return np.random.default_rng(9).normal(size=(N_USERS, N_ITEMS)).astype(np.float32)
