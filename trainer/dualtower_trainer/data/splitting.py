"""Train, validation and test, and items held out as cold by hash.

    first ──────────── validation ──────────────── test ──────────── last
      train                 validation targets        test targets
      └── history of validation ──┘
      └──────── full: history of test ─────────┘

Which interaction lies in which segment is the matter of `segments.py`: by time, the last items of
each user, or by hash. Nothing of a segment is visible to what predicts it. Repeats are merged
*within* what is visible: one entry per user and item, weight summed, at the time of the last
purchase. Cold items (by hash, so that they are the same in every run and for every method) are
taken out of train and of every history; they appear as targets only. Without a test segment `test`
holds nobody, and `full` is the whole log. The split of a refit trains on `full`, and so more items
are warm in test.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data.activity_filter import FilterConfig, suspicious_users
from dualtower_trainer.data.dataset import Catalogue, Dataset, Interactions
from dualtower_trainer.data.heldout import Heldout, hold_out
from dualtower_trainer.data.merge import merge_repeats, sort_by_pair
from dualtower_trainer.data.segments import TEST, TRAIN, VALIDATION, Segments, segment_rows
from dualtower_trainer.data.split_config import SplitConfig
from dualtower_trainer.data.timestamps import iso_utc

__all__ = ["Split", "cold_fraction", "cold_items", "split"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Split:
    """A data set cut into segments and by cold items.

    Attributes:
        kind: `time`, `last` or `random`: what `config.kind` came to.
        cold: bool [items], held out by hash.
        warm: bool [items], not cold and bought at least once in train.
        train: one row per user and item, by user and then most recent first.
        full: train and validation as one, like `train`: what the last fit trains on.
        full_warm: bool [items], not cold and bought at least once in `full`.
        validation: who is held out to choose by.
        test: who is held out to judge by; nobody where no test segment is asked for.
        refit: whether this is the split of a refit: `train` is `full`, and validation is empty.
        report: counts of every step, and what was dropped and why; plain JSON.
    """

    catalogue: Catalogue
    config: SplitConfig
    kind: str
    cold: Flags
    warm: Flags
    train: Interactions
    full: Interactions
    full_warm: Flags
    validation: Heldout
    test: Heldout
    refit: bool
    report: dict[str, Any]

    @property
    def judged(self) -> Heldout:
        """The test segment, or the validation segment where there is no test."""
        return self.test if self.config.has_test else self.validation


def split(
    dataset: Dataset,
    config: SplitConfig | None = None,
    *,
    refit: bool = False,
    activity: FilterConfig | None = None,
) -> Split:
    """Cuts a data set; deterministic, and independent of the order of its rows.

    Args:
        dataset: what `load_dataset` read.
        config: where to cut.
        refit: merge validation into train, for the last fit and for judging it.
        activity: users to leave out of `train` and `full`, each judged by what was done there.
            Histories are not touched, but an item that only they know is not warm.

    Raises:
        DataError: the log cannot be cut as configured, or nothing is left to train on.

    Example:
        parts = split(load_dataset("data"), SplitConfig(validation_days=14, cold_share=0.15))
        len(parts.train), len(parts.validation), parts.report["validation"]["warm_targets"]
    """
    config = config or SplitConfig()
    catalogue = dataset.catalogue
    log = sort_by_pair(dataset.interactions, len(catalogue))
    segments = segment_rows(log, catalogue.item_ids, config, has_time=dataset.has_time)
    if refit:
        merged = np.where(segments.codes == VALIDATION, np.int8(TRAIN), segments.codes)
        segments = replace(segments, codes=merged, validation_start_s=None)
    cold = cold_items(catalogue, config)
    is_cold = cold[log.items]
    before = segments.codes == TRAIN
    kept, filtered = _activity(log, {"train": before, "full": segments.codes < TEST}, activity)
    train = merge_repeats(log.where(kept["train"] & ~is_cold))
    if not len(train):
        raise DataError(
            "no interaction with an item that is not cold lies before validation; give a smaller "
            "--set split.validation_share=…, a later split.validation_start, a smaller "
            "split.cold_share, or milder filters"
        )
    full = merge_repeats(log.where(kept["full"] & ~is_cold))
    warm, full_warm = (
        np.bincount(part.items, minlength=len(catalogue)) > 0 for part in (train, full)
    )
    heldout, heldout_reports = {}, {}
    for name, code in (("validation", VALIDATION), ("test", TEST)):
        heldout[name], heldout_reports[name] = hold_out(
            log,
            segments.codes < code,
            (segments.codes == code) & segments.targets,
            cold=cold,
            warm=warm,
            blocked=catalogue.blocked,
            min_history=config.min_history,
        )
    report: dict[str, Any] = {
        **_when(dataset, segments),
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
            "dropped_suspicious_rows": int(before.sum() - kept["train"].sum()),
            "dropped_cold_rows": int((kept["train"] & is_cold).sum()),
            "merged_repeat_rows": int((kept["train"] & ~is_cold).sum()) - len(train),
            "interactions": len(train),
            "users": int((np.bincount(train.users) > 0).sum()),
        },
        "full": {
            "interactions": len(full),
            "users": int((np.bincount(full.users) > 0).sum()),
            "items": int(full_warm.sum()),
        },
        "later_repeat_rows": int(((segments.codes > TRAIN) & ~segments.targets).sum()),
        **heldout_reports,
        "filter": filtered,
    }
    return Split(
        catalogue=catalogue,
        config=config,
        kind=segments.kind,
        cold=cold,
        warm=warm,
        train=train,
        full=full,
        full_warm=full_warm,
        validation=heldout["validation"],
        test=heldout["test"],
        refit=refit,
        report=report,
    )


def _activity(
    log: Interactions, parts: dict[str, Flags], config: FilterConfig | None
) -> tuple[dict[str, Flags], dict[str, Any]]:
    """The parts without suspicious users, and the report of each; unchanged without a filter."""
    if config is None or not config.is_on:
        return parts, {}
    kept, reports = {}, {}
    for name, inside in parts.items():
        suspicious, report = suspicious_users(log.where(inside), config)
        kept[name], reports[name] = inside & ~suspicious[log.users], report.to_json()
    return kept, reports


def cold_items(catalogue: Catalogue, config: SplitConfig) -> Flags:
    """Which items are held out, bool [items]."""
    return np.array(
        [cold_fraction(item, config.cold_salt) < config.cold_share for item in catalogue.item_ids],
        bool,
    )


def cold_fraction(item_id: str, salt: str) -> float:
    """md5 of salt and item id as a fraction of 2^128: uniform over the ids, in [0, 1)."""
    digest = hashlib.md5((salt + item_id).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big") / 2**128


def _when(dataset: Dataset, segments: Segments) -> dict[str, Any]:
    """The kind, and the moments in ISO form, as far as there are such moments."""
    times_s = dataset.interactions.timestamps
    moments = {
        "first": int(times_s.min()) if dataset.has_time else None,
        "validation_start": segments.validation_start_s,
        "test_start": segments.test_start_s,
        "last": int(times_s.max()) if dataset.has_time else None,
    }
    found = {name: iso_utc(seconds) for name, seconds in moments.items() if seconds is not None}
    return {"kind": segments.kind, **found}
