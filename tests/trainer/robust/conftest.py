"""TensorFlow with two threads, and a learner over planted data."""

from __future__ import annotations

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import dualtower_trainer  # noqa: F401  sets TensorFlow's environment
from dualtower_trainer.closed_form.config import ClosedFormConfig
from dualtower_trainer.data import Catalogue, Dataset, Interactions
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.tower_config import TowerConfig
from dualtower_trainer.train_config import TrainConfig
from dualtower_trainer.wide import build_wide_vocabulary


@pytest.fixture(scope="session")
def numbered_texts() -> Callable[..., ItemTexts]:
    """Texts of which nothing can be learned: random encodings, and no gram that two items share."""

    def make(items: int, *, hidden: int = 8, seed: int = 0) -> ItemTexts:
        random = np.random.default_rng(seed)
        ids = np.stack([np.zeros(items), 2 + np.arange(items), np.ones(items)], 1).astype(np.int32)
        mask = np.ones_like(ids)
        vocabulary = build_wide_vocabulary(ids, mask, special_ids=(0, 1), max_grams=64)
        bag = sparse.csr_matrix(vocabulary.bag(ids, mask))
        encodings = random.normal(size=(items, hidden)).astype(np.float32)
        return ItemTexts(encodings, vocabulary, bag, items + 2)

    return make


@pytest.fixture(scope="session")
def tastes_of_three_kinds() -> Dataset:
    """90 items of three kinds; 120 people who take mostly one kind, popular items more often."""
    random = np.random.default_rng(7)
    users, items = [], []
    for user in range(120):
        kinds = np.where(random.random(20) < 0.9, user % 3, random.integers(0, 3, 20))
        users += [user] * 20
        items += list(kinds * 30 + (30 * random.random(20) ** 2).astype(int))
    return dataset_of(90, np.array(users), np.array(items))


def dataset_of(n_items: int, users: np.ndarray, items: np.ndarray) -> Dataset:
    """A log in which one interaction follows the other by a minute, in a random order."""
    times_s = np.random.default_rng(1).permutation(len(users)) * 60 + 1_700_000_000
    names = np.array([f"i{row:04d}" for row in range(n_items)], object)
    log = Interactions(
        users.astype(np.int32),
        items.astype(np.int32),
        times_s.astype(np.int64),
        np.ones(len(users), np.float32),
        np.array([f"u{user:04d}" for user in range(int(users.max()) + 1)], object),
    )
    return Dataset(Catalogue(names, names, None, np.zeros(n_items, bool)), log, Path("planted"), 0)


@pytest.fixture(scope="session")
def small_config() -> RunConfig:
    """A training of seconds."""
    return RunConfig(
        model=TowerConfig(dim=24, hidden_units=8, history_items=16),
        closed_form=ClosedFormConfig(regularisation=(30.0,), sharpening=(0.0,)),
        train=TrainConfig(
            users_per_step=32, targets_per_user=4, uniform_negatives=64, learning_rate=3e-3,
            warmup_steps=5, history_items=16, id_dropout=0.0, own_rate=1.0, user_rate=1.0,
        ),
    )  # fmt: skip


@pytest.fixture(scope="session")
def crowded_by_the_popular() -> Dataset:
    """As `tastes_of_three_kinds`, but the first 6 items of a kind get two thirds of it all."""
    random = np.random.default_rng(11)
    users = np.repeat(np.arange(120), 24)
    kinds = np.where(random.random(len(users)) < 0.8, users % 3, random.integers(0, 3, len(users)))
    return dataset_of(90, users, kinds * 30 + (30 * random.random(len(users)) ** 4).astype(int))
