"""Train, validation and test by time, and items held out as cold by hash.

    first ──────────── validation_start ──────── test_start ──────── last
      train                 validation targets        test targets
      └── history of validation ──┘
      └──────────────── history of test ───────────┘

Nothing after a segment's start is visible to what predicts it. Repeats are merged *within* what is
visible: one entry per user and item, weight summed, at the time of the last purchase. Cold items
(by hash, so that they are the same in every run and for every method) are taken out of train and of
every history; they appear as targets only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data.dataset import Catalogue, Dataset, Interactions
from dualtower_trainer.data.heldout import Heldout, hold_out
from dualtower_trainer.data.merge import merge_repeats, sort_by_pair
from dualtower_trainer.data.split_config import SplitConfig
from dualtower_trainer.data.timestamps import iso_utc

__all__ = ["Split", "cold_fraction", "split"]


@dataclass(frozen=True, eq=False)
class Split:
    """A data set cut by time and by cold items.

    Attributes:
        cold: bool [items], held out by hash.
        warm: bool [items], not cold and bought at least once in train.
        train: one row per user and item, by user and then most recent first.
        report: counts of every step, and what was dropped and why; plain JSON.
    """

    catalogue: Catalogue
    config: SplitConfig
    cold: npt.NDArray[np.bool_]
    warm: npt.NDArray[np.bool_]
    train: Interactions
    validation: Heldout
    test: Heldout
    report: dict[str, Any]


def split(dataset: Dataset, config: SplitConfig | None = None) -> Split:
    """Cuts a data set; deterministic, and independent of the order of its rows.

    Raises:
        DataError: the log is too short for the boundaries, or nothing is left to train on.
    """
    config = config or SplitConfig()
    catalogue = dataset.catalogue
    log = sort_by_pair(dataset.interactions, len(catalogue))
    first_s, last_s = int(log.timestamps.min()), int(log.timestamps.max())
    validation_s, test_s = config.boundaries_s(first_s, last_s)
    cold = np.array(
        [cold_fraction(item, config.cold_salt) < config.cold_share for item in catalogue.item_ids],
        bool,
    )
    before = log.timestamps < validation_s
    is_cold = cold[log.items]
    train = merge_repeats(log.where(before & ~is_cold))
    if not len(train):
        raise DataError(
            f"no interaction with an item that is not cold lies before {iso_utc(validation_s)}; "
            "give a later --set split.validation_start=DATE or a smaller split.cold_share"
        )
    warm = np.bincount(train.items, minlength=len(catalogue)) > 0
    report: dict[str, Any] = {
        "first": iso_utc(first_s),
        "validation_start": iso_utc(validation_s),
        "test_start": iso_utc(test_s),
        "last": iso_utc(last_s),
        "interactions": len(log),
        "unknown_item_interactions": dataset.unknown_items,
        "users": len(log.user_ids),
        "items": {
            "catalogue": len(catalogue),
            "cold": int(cold.sum()),
            "warm": int(warm.sum()),
            "not_in_train": int((~cold & ~warm).sum()),
            "blocked": int(catalogue.blocked.sum()),
        },
        "train": {
            "rows_before_validation": int(before.sum()),
            "dropped_cold_rows": int((before & is_cold).sum()),
            "merged_repeat_rows": int((before & ~is_cold).sum()) - len(train),
            "interactions": len(train),
            "users": int((np.bincount(train.users) > 0).sum()),
        },
    }
    heldout = {}
    for name, start_s, end_s in (
        ("validation", validation_s, test_s),
        ("test", test_s, last_s + 1),
    ):
        heldout[name], report[name] = hold_out(
            log,
            start_s,
            end_s,
            cold=cold,
            warm=warm,
            blocked=catalogue.blocked,
            min_history=config.min_history,
        )
    return Split(
        catalogue, config, cold, warm, train, heldout["validation"], heldout["test"], report
    )


def cold_fraction(item_id: str, salt: str) -> float:
    """md5 of salt and item id as a fraction of 2^128: uniform over the ids, in [0, 1)."""
    digest = hashlib.md5((salt + item_id).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big") / 2**128
