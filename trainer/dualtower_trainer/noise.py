"""Interactions that never happened in the place of some that did: what a log is in practice.

A pair of user and item is *flipped*: all of its rows get another item that this user never took,
drawn evenly from the catalogue. So a share of what is true is lost and as much that is false is
added, while people stay as active, and at the same times, as they were.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from dualtower_trainer.data import Catalogue, Interactions
from dualtower_trainer.data.canonical import (
    ITEMS,
    new_folder,
    write_interactions,
    write_report,
)
from dualtower_trainer.data.merge import contains, pair_codes

__all__ = ["flip_interactions", "write_log"]


def flip_interactions(
    log: Interactions, n_items: int, share: float, *, seed: int, taken: Interactions | None = None
) -> Interactions:
    """A log in which a share of the pairs of user and item is flipped, in the order it had.

    Args:
        log: rows as they were written; repeats of a pair are flipped together.
        n_items: of the catalogue.
        share: from 0 to 1, rounded to whole pairs.
        seed: of the choice of pairs and of their new items.
        taken: what nobody may be given on top of `log`, with the same codes of users: the future.

    Raises:
        ValueError: the share is none, or a user took too much of the catalogue to be given others.

    Example:
        noisy = flip_interactions(log, len(catalogue), 0.1, seed=0)
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    random = np.random.default_rng(seed)
    codes = pair_codes(log, n_items)
    pairs = np.unique(codes)
    known = pairs if taken is None else np.union1d(pairs, pair_codes(taken, n_items))
    flipped = np.sort(random.choice(pairs, round(share * len(pairs)), replace=False))
    owners = flipped // n_items
    _refuse_full(known // n_items, owners, n_items)
    added = np.full(len(flipped), -1, np.int64)
    while len(open_places := np.flatnonzero(added < 0)):
        drawn = owners[open_places] * n_items + random.integers(0, n_items, len(open_places))
        fresh = ~contains(np.union1d(known, added), drawn)
        first = np.zeros(len(drawn), bool)
        first[np.unique(drawn, return_index=True)[1]] = True
        added[open_places[fresh & first]] = drawn[fresh & first]
    changed = contains(flipped, codes)
    items = log.items.copy()
    places = np.searchsorted(flipped, codes[changed])
    items[changed] = (added[places] % n_items).astype(np.int32)
    return replace(log, items=items)


def write_log(folder: Path, log: Interactions, catalogue: Catalogue, items_of: Path) -> None:
    """Writes a data folder of a log, with the items of the data folder `items_of`."""
    users = pa.array(log.user_ids, pa.string()).take(pa.array(log.users))
    items = pa.array(catalogue.item_ids, pa.string()).take(pa.array(log.items))
    table = pa.table(
        {
            "user_id": users,
            "item_id": items,
            "timestamp": pa.array(log.timestamps),
            "weight": pa.array(log.weights),
        }
    )
    with new_folder(folder, overwrite=True) as temporary:
        shutil.copyfile(items_of / ITEMS, temporary / ITEMS)
        write_interactions(temporary, [table])
        write_report(temporary, {"source": {"name": "derived", "items": str(items_of)}})


def _refuse_full(taken: np.ndarray, wanted: np.ndarray, n_items: int) -> None:
    """Refuses users who would have to be given more items than are left to them."""
    width = int(max(taken.max(initial=-1), wanted.max(initial=-1))) + 1
    lacking = np.bincount(taken, minlength=width) + np.bincount(wanted, minlength=width) - n_items
    if len(wanted) and lacking[wanted].max() > 0:
        raise ValueError(
            f"a user took so many of the {n_items} items that {lacking[wanted].max()} false ones "
            "cannot be found; give a smaller share, or a data set with more items"
        )
