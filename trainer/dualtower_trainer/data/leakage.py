"""Does a split keep its promises? Checked against the log itself, not against how it was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_trainer.data.dataset import Dataset
from dualtower_trainer.data.heldout import Heldout
from dualtower_trainer.data.merge import contains, pair_codes
from dualtower_trainer.data.splitting import Split, cold_fraction

__all__ = ["Check", "check_leakage"]


@dataclass(frozen=True)
class Check:
    """One promise, and how many entries break it."""

    promise: str
    violations: int

    @property
    def passed(self) -> bool:
        return self.violations == 0


def check_leakage(dataset: Dataset, parts: Split) -> list[Check]:
    """Every promise of `split`, train first; all of them hold unless the split has a fault."""
    log, items = dataset.interactions, parts.catalogue.item_ids
    first_s, last_s = int(log.timestamps.min()), int(log.timestamps.max())
    validation_s, test_s = parts.config.boundaries_s(first_s, last_s)
    salt, share = parts.config.cold_salt, parts.config.cold_share
    cold = np.array([cold_fraction(item, salt) < share for item in items], bool)
    codes = pair_codes(log, len(items))

    def pairs_between(start_s: int, end_s: int) -> npt.NDArray[np.int64]:
        return codes[(log.timestamps >= start_s) & (log.timestamps < end_s)]

    train = pair_codes(parts.train, len(items))
    in_train = np.bincount(parts.train.items, minlength=len(items)) > 0
    before = pairs_between(first_s, validation_s)
    checks = [
        Check("train ends before validation", int((parts.train.timestamps >= validation_s).sum())),
        Check("train rows are in the log before validation", _outside(train, before)),
        Check("no cold item in train", int(cold[parts.train.items].sum())),
    ]
    for name, heldout, start_s, end_s in (
        ("validation", parts.validation, validation_s, test_s),
        ("test", parts.test, test_s, last_s + 1),
    ):
        history = _pairs(heldout, heldout.histories, len(items))
        warm = _pairs(heldout, heldout.warm_targets, len(items))
        targets = np.concatenate([warm, _pairs(heldout, heldout.cold_targets, len(items))])
        visible, future = pairs_between(first_s, start_s), pairs_between(start_s, end_s)
        checks += [
            Check(f"{name}: histories lie before the segment", _outside(history, visible)),
            Check(f"{name}: targets lie in the segment", _outside(targets, future)),
            Check(f"{name}: no target in its history", int(contains(history, targets).sum())),
            Check(f"{name}: no cold item in a history", int(cold[history % len(items)].sum())),
            Check(f"{name}: warm targets are in train", int((~in_train[warm % len(items)]).sum())),
        ]
    return checks


def _pairs(
    heldout: Heldout, lists: list[npt.NDArray[np.int32]], n_items: int
) -> npt.NDArray[np.int64]:
    """User and item of every entry of the lists, as one number."""
    if not lists:
        return np.zeros(0, np.int64)
    users = np.repeat(heldout.users.astype(np.int64), [len(rows) for rows in lists])
    return users * n_items + np.concatenate(lists)


def _outside(pairs: npt.NDArray[np.int64], allowed: npt.NDArray[np.int64]) -> int:
    return int((~contains(allowed, pairs)).sum())
