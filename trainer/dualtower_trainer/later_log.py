"""A later log as the future to be predicted, for a run that was trained on everything before it.

later.csv ──► user and item ids ──┬─ items of the user's history: no targets
                                  ├─ items with training interactions: warm targets
                                  └─ the other items of the catalogue: cold targets
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import DataError
from dualtower_trainer.data import Catalogue, Heldout, Interactions
from dualtower_trainer.data.log_reader import read_log
from dualtower_trainer.data.merge import contains, lists_by_user, merge_repeats, sort_by_pair
from dualtower_trainer.data.quarantine import Quarantine
from dualtower_trainer.data.records import open_source
from dualtower_trainer.id_file import read_ids

__all__ = ["LaterLog", "read_candidates", "read_later_log"]


@dataclass(frozen=True, eq=False)
class LaterLog:
    """The users of a later log and their targets, and counts of what the file held.

    Users whom the training never saw are there too, with a code of -1 and an empty history.
    """

    heldout: Heldout
    report: dict[str, Any]


def read_later_log(
    path: Path, catalogue: Catalogue, known: Interactions, warm: np.ndarray
) -> LaterLog:
    """Reads a file of interactions as the importer does: CSV, TSV or Parquet, plain or gzipped.

    Args:
        path: columns user_id and item_id, and timestamp where there is one.
        catalogue: of the run; rows with other items are counted and left out.
        known: what the training saw, one row per user and item, by user and then most recent
            first: the histories.
        warm: bool [items], taken in training.

    Raises:
        DataError: the file cannot be read, or leaves no target.
    """
    source = open_source(path)
    with (
        tempfile.TemporaryDirectory(prefix="dualtower-later-") as folder,
        Quarantine(Path(folder) / "quarantine.csv") as quarantine,
    ):
        bad = quarantine.of(str(path))
        log = read_log(source, {}, catalogue.rows, bad, left_out=Counter(), option=None)
    n_known = len(known.user_ids)
    ids = np.array([*log.user_ids, ""], object)[:-1]
    place = np.minimum(np.searchsorted(known.user_ids, ids), n_known - 1)
    is_known = known.user_ids[place] == ids
    codes = np.where(is_known, place, n_known + np.arange(len(ids))).astype(np.int32)
    user_ids = np.concatenate([known.user_ids, ids])
    later = Interactions(codes[log.users], log.items, log.times_s, log.weights, user_ids)
    pairs = merge_repeats(sort_by_pair(later, len(catalogue)), last=False)
    taken = contains(_codes(known, len(catalogue)), _codes(pairs, len(catalogue)))
    fresh = pairs.where(~taken & ~catalogue.blocked[pairs.items])
    if not len(fresh):
        raise DataError(
            f"{path} has no target: each of its {len(pairs)} pairs of user and item was in the "
            "training already, or its item is blocked; give a log that is later than the data"
        )
    users = np.unique(fresh.users)
    heldout = Heldout(
        np.where(users < n_known, users, -1).astype(np.int32),
        user_ids[users],
        lists_by_user(known, users),
        lists_by_user(fresh.where(warm[fresh.items]), users),
        lists_by_user(fresh.where(~warm[fresh.items]), users),
    )
    report = {
        "file": str(path),
        "rows": log.rows_read,
        "unusable_rows": dict(bad.counts),
        "repeated_rows": len(log) - len(pairs) + log.repeated,
        "pairs_known_from_training": int(taken.sum()),
        "pairs_with_blocked_items": int((~taken & catalogue.blocked[pairs.items]).sum()),
        "users": len(users),
        "new_users": int((users >= n_known).sum()),
        "warm_targets": int(warm[fresh.items].sum()),
        "cold_targets": int((~warm[fresh.items]).sum()),
        "rows_not_later_than_training": int((log.times_s <= known.timestamps.max(initial=-1)).sum())
        if log.timed
        else 0,
    }
    return LaterLog(heldout, report)


def read_candidates(path: Path, catalogue: Catalogue) -> tuple[np.ndarray, int]:
    """bool [items] of the ids in the file, one a line, and how many of these the catalogue lacks.

    Raises:
        DataError: the file cannot be read, or names no item of the catalogue.
    """
    wanted = read_ids(path).ids
    rows = [catalogue.rows[item] for item in wanted if item in catalogue.rows]
    if not rows:
        raise DataError(
            f"none of the {len(wanted)} ids of {path} is an item of the run, which has "
            f"{', '.join(map(repr, catalogue.item_ids[:3]))} …; give item ids, one a line"
        )
    chosen = np.zeros(len(catalogue), bool)
    chosen[rows] = True
    return chosen, len(wanted) - len(rows)


def _codes(log: Interactions, n_items: int) -> np.ndarray:
    return log.users.astype(np.int64) * n_items + log.items
