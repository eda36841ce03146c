"""A log in which people of one kind take items of one kind, and texts that name the kinds."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.data import Interactions

KINDS, PER_KIND, USERS, DAY_S = 4, 12, 60, 86_400


def interactions_of(users, items, seconds=None) -> Interactions:
    """Interactions from parallel lists."""
    count = len(users)
    return Interactions(
        np.asarray(users, np.int32),
        np.asarray(items, np.int32),
        np.zeros(count, np.int64) if seconds is None else np.asarray(seconds, np.int64),
        np.ones(count, np.float32),
        np.asarray([f"u{user}" for user in range(max(users, default=-1) + 1)], object),
    )


@pytest.fixture(scope="session")
def make_interactions():
    return interactions_of


@pytest.fixture(scope="session")
def log() -> Interactions:
    """Sixty people with twenty events each over a month; item i is of kind i // 12."""
    random = np.random.default_rng(7)
    users = np.repeat(np.arange(USERS), 20)
    strays = random.random(len(users)) < 0.15
    kinds = np.where(strays, random.integers(0, KINDS, len(users)), users % KINDS)
    items = kinds * PER_KIND + random.integers(0, PER_KIND, len(users))
    return interactions_of(users, items, 1_700_000_000 + random.integers(0, 30 * DAY_S, len(users)))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    names = ("green tea leaf", "rye bread loaf", "red wine bottle", "oak wood table")
    return [f"{name} number{number}" for name in names for number in range(PER_KIND)]


@pytest.fixture(scope="session")
def consumed(log) -> list[np.ndarray]:
    """The items of each person."""
    return [np.unique(log.items[log.users == user]) for user in range(USERS)]
