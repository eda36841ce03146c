"""Logs over items of which some say the same, and towers that have learned nothing."""

from __future__ import annotations

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

import numpy as np
import pytest

ITEMS = 50


@pytest.fixture(scope="session")
def logs() -> list[np.ndarray]:
    """40 people; the items from 45 on are taken by nobody."""
    random = np.random.default_rng(0)
    chance = 1 / np.arange(1, 46)
    return [
        random.choice(45, random.integers(2, 30), replace=False, p=chance / chance.sum()).astype(
            np.int32
        )
        for _ in range(40)
    ]


@pytest.fixture(scope="session")
def groups() -> np.ndarray:
    """int32 [items]: items 0 … 2 say the same, and 3 and 4, and each tenth and its successor."""
    groups = np.arange(ITEMS, dtype=np.int32)
    groups[[1, 2]] = 0
    groups[4] = 3
    groups[11::10] = groups[10:50:10]
    return np.unique(groups, return_inverse=True)[1].astype(np.int32)
