"""Does a split keep its promises? Checked against the log itself, not against how it was made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_trainer.data.dataset import Dataset, Interactions
from dualtower_trainer.data.heldout import Heldout
from dualtower_trainer.data.merge import contains, pair_codes, pair_starts, sort_by_pair
from dualtower_trainer.data.splitting import Split, cold_fraction

__all__ = ["Check", "check_leakage"]

Codes = npt.NDArray[np.int64]  # user and item of a pair as one number


@dataclass(frozen=True)
class Check:
    """One promise, and how many entries break it.

    A `binding` promise is the split's own; any other is a property of the data worth knowing.
    """

    promise: str
    violations: int
    binding: bool = True

    @property
    def passed(self) -> bool:
        return self.violations == 0


def check_leakage(dataset: Dataset, parts: Split) -> list[Check]:
    """Every promise of `split`, train first; the binding ones hold unless the split has a fault."""
    n_items, items = len(parts.catalogue), parts.catalogue.item_ids
    salt, share = parts.config.cold_salt, parts.config.cold_share
    cold = np.array([cold_fraction(item, salt) < share for item in items], bool)
    log = sort_by_pair(dataset.interactions, n_items)
    train, full, everything = (pair_codes(part, n_items) for part in (parts.train, parts.full, log))
    checks = [
        Check("train rows are in the log", _outside(train, everything)),
        Check("train is part of train with validation", _outside(train, full)),
        Check("no cold item in train", int(cold[parts.train.items].sum())),
        Check("no cold item in train with validation", int(cold[parts.full.items].sum())),
    ]
    for name, heldout in _segments(parts):
        trained = full if name == "test" else train
        history, warm, targets = _held_pairs(heldout, n_items)
        in_train = np.isin(warm % n_items, parts.train.items)
        checks += [
            Check(f"{name}: histories are in the log", _outside(history, everything)),
            Check(f"{name}: no target is trained on", int(contains(trained, targets).sum())),
            Check(f"{name}: no target in its history", int(contains(history, targets).sum())),
            Check(f"{name}: no cold item in a history", int(cold[history % n_items].sum())),
            Check(f"{name}: warm targets are in train", int((~in_train).sum())),
        ]
    if parts.kind == "time":
        checks += _cut_for_everybody(log, everything, parts)
    if parts.kind == "last":
        checks += _cut_for_each_user(log, everything, parts)
    return [*checks, _twins(parts, cold)]


def _cut_for_everybody(log: Interactions, everything: Codes, parts: Split) -> Iterator[Check]:
    """What holds of the two moments where the whole log is cut."""
    n_items, times_s = len(parts.catalogue), log.timestamps
    validation_s, test_s = parts.config.boundaries_s(times_s)
    for name, part, end_s in (
        ("train ends before validation", parts.train, test_s if parts.refit else validation_s),
        ("train with validation ends before test", parts.full, test_s),
    ):
        outside = ~contains(everything[times_s < end_s], pair_codes(part, n_items))
        yield Check(name, int((outside | (part.timestamps >= end_s)).sum()))
    ends_s = {"validation": (validation_s, test_s), "test": (test_s, int(times_s.max()) + 1)}
    for name, heldout in _segments(parts):
        start_s, end_s = ends_s[name]
        history, _, targets = _held_pairs(heldout, n_items)
        visible = everything[times_s < start_s]
        future = everything[(times_s >= start_s) & (times_s < end_s)]
        yield Check(f"{name}: histories lie before the segment", _outside(history, visible))
        yield Check(f"{name}: targets lie in the segment", _outside(targets, future))


def _cut_for_each_user(log: Interactions, everything: Codes, parts: Split) -> Iterator[Check]:
    """What holds where a user's last items are held out: each at the time it was first taken."""
    n_items, starts = len(parts.catalogue), pair_starts(log)
    pairs, first_s = everything[starts], log.timestamps[starts]

    def taken_s(wanted: Codes) -> npt.NDArray[np.int64]:
        return first_s[np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)]

    for name, heldout in _segments(parts):
        history, _, targets = _held_pairs(heldout, n_items)
        latest_s = np.zeros(len(log.user_ids), np.int64)
        np.maximum.at(latest_s, history // n_items, taken_s(history))
        early = taken_s(targets) < latest_s[targets // n_items]
        yield Check(f"{name}: no target before its history", int(early.sum()))
        yield Check(f"{name}: one target to a user", len(targets) - len(heldout))


def _segments(parts: Split) -> list[tuple[str, Heldout]]:
    """The segments that the split has."""
    validation = [] if parts.refit else [("validation", parts.validation)]
    return validation + ([("test", parts.test)] if parts.config.has_test else [])


def _twins(parts: Split, cold: npt.NDArray[np.bool_]) -> Check:
    texts, held_out = parts.catalogue.texts, cold & ~parts.catalogue.blocked
    warm_texts = set(texts[parts.full_warm])
    twins = sum(text in warm_texts for text in texts[held_out])
    return Check("no cold item has the text of a warm one", twins, binding=False)


def _held_pairs(heldout: Heldout, n_items: int) -> tuple[Codes, Codes, Codes]:
    """The pairs of the histories, of the warm targets, and of all targets."""

    def pairs(lists: list[npt.NDArray[np.int32]]) -> Codes:
        if not lists:
            return np.zeros(0, np.int64)
        users = np.repeat(heldout.users.astype(np.int64), [len(rows) for rows in lists])
        return users * n_items + np.concatenate(lists)

    warm = pairs(heldout.warm_targets)
    targets = np.concatenate([warm, pairs(heldout.cold_targets)])
    return pairs(heldout.histories), warm, targets


def _outside(pairs: Codes, allowed: Codes) -> int:
    return int((~contains(allowed, pairs)).sum())
