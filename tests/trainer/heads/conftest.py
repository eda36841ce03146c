"""TensorFlow with two threads, and a planted log in which taste decides rating and event."""

from __future__ import annotations

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

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

USERS, ITEMS, EACH = 120, 90, 20
EVENTS = ("buy", "save", "view")


@pytest.fixture(scope="session")
def planted() -> Dataset:
    """90 items of three kinds; people take mostly their own kind, rate it higher and buy it."""
    random = np.random.default_rng(7)
    users = np.repeat(np.arange(USERS), EACH)
    kinds = np.where(random.random(len(users)) < 0.75, users % 3, random.integers(0, 3, len(users)))
    items = kinds * 30 + (30 * random.random(len(users)) ** 2).astype(int)
    liked = kinds == users % 3
    ratings = (2 + 2 * liked + 0.3 * random.normal(size=len(users))).astype(np.float32)
    ratings[random.random(len(users)) < 0.2] = np.nan
    events = np.where(liked, 0, 1 + random.integers(0, 2, len(users))).astype(np.int32)
    events[random.random(len(users)) < 0.1] = -1
    names = np.array([f"i{row:02d}" for row in range(ITEMS)], object)
    log = Interactions(
        users.astype(np.int32),
        items.astype(np.int32),
        random.permutation(len(users)).astype(np.int64) * 60 + 1_700_000_000,
        np.ones(len(users), np.float32),
        np.array([f"u{user:03d}" for user in range(USERS)], object),
    )
    catalogue = Catalogue(names, names, None, np.zeros(ITEMS, bool))
    return Dataset(catalogue, log, Path("planted"), 0, ratings, events, EVENTS)


@pytest.fixture(scope="session")
def texts() -> ItemTexts:
    """Texts of which nothing can be learned."""
    random = np.random.default_rng(0)
    ids = np.stack([np.zeros(ITEMS), 2 + np.arange(ITEMS), np.ones(ITEMS)], 1).astype(np.int32)
    mask = np.ones_like(ids)
    vocabulary = build_wide_vocabulary(ids, mask, special_ids=(0, 1), max_grams=64)
    encodings = random.normal(size=(ITEMS, 8)).astype(np.float32)
    bag = sparse.csr_matrix(vocabulary.bag(ids, mask))
    return ItemTexts(encodings, vocabulary, bag, ITEMS + 2)


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
