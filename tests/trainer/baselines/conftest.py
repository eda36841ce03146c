"""Small logs: one that is easy to check by hand, one with a planted taste that must be found."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.baselines import TrainingSet, Tuning
from dualtower_trainer.data import Heldout, Interactions

DAY_S = 86_400
TEXTS = ["green tea", "black tea strong", "green bread", "", "tea tea tea"]


def log_of(users: list[int], items: list[int], days: list[float] | None = None) -> Interactions:
    """A log of parallel lists; user ids are the codes as text."""
    times = np.zeros(len(users)) if days is None else np.asarray(days) * DAY_S
    names = np.array([f"u{code}" for code in range(max(users) + 1)], object)
    return Interactions(
        np.asarray(users, np.int32),
        np.asarray(items, np.int32),
        times.astype(np.int64),
        np.ones(len(users), np.float32),
        names,
    )


@pytest.fixture
def tiny() -> TrainingSet:
    """Four users (code 3 took nothing), five items."""
    log = log_of([0, 0, 0, 1, 1, 2, 2, 4, 4], [0, 1, 2, 1, 3, 0, 1, 2, 3], [*range(1, 10)])
    return TrainingSet(log, TEXTS, lambda: np.eye(5, 3, dtype=np.float32) + 0.1)


@pytest.fixture(scope="session")
def planted() -> Tuning:
    """Users of a low-rank taste: 240 users × 60 items, twelve items each from a rank-3 model, of
    which two are held out. Items 50 … 59 are never taken; their content says what they are."""
    random = np.random.default_rng(11)
    kinds = random.normal(size=(60, 3))
    tastes = random.normal(size=(240, 3)) * 2
    chance = tastes @ kinds[:50].T + random.gumbel(size=(240, 50))
    taken = np.argsort(-chance, axis=1)[:, :12]
    histories = [row[:10].astype(np.int32) for row in taken]
    targets = [row[10:].astype(np.int32) for row in taken]
    for row in taken:
        random.shuffle(row)
    histories = [row[:10].astype(np.int32) for row in taken]
    targets = [row[10:].astype(np.int32) for row in taken]
    log = log_of(
        np.repeat(np.arange(240), 10).tolist(),
        np.concatenate(histories).tolist(),
        random.uniform(0, 100, 2400).tolist(),
    )
    texts = [f"kind {int(np.argmax(kind))} number {row}" for row, kind in enumerate(kinds)]
    data = TrainingSet(log, texts, lambda: kinds.astype(np.float32))
    nothing = [np.empty(0, np.int32)] * 240
    users = np.arange(240, dtype=np.int32)
    held = Heldout(users, log.user_ids, histories, targets, nothing)
    return Tuning(data, data, held, np.zeros(60, bool))
