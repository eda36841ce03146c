"""What the data folder knows of certain users: everything that each of them ever took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtower.errors import DataError
from dualtower_trainer.data import Catalogue, load_dataset
from dualtower_trainer.data.canonical import INTERACTIONS
from dualtower_trainer.data.merge import lists_by_user, merge_repeats, sort_by_pair

__all__ = ["Histories", "places_of", "read_histories"]


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories in rows of the data folder's own catalogue.

    Attributes:
        catalogue: the items of the data folder.
        rows: int32 rows for each user that was asked for, each item once, most recent first; empty
            for someone whom the data does not know.
    """

    catalogue: Catalogue
    rows: list[np.ndarray]

    def places_in(self, item_ids: Iterable[str]) -> list[np.ndarray]:
        """The histories as int64 places in `item_ids`, without what is not among them."""
        place = places_of(self.catalogue.item_ids, item_ids)
        return [there[there >= 0] for there in (place[rows] for rows in self.rows)]


def read_histories(data: Path, user_ids: Sequence[str]) -> Histories:
    """The whole histories of users, ordered as training orders them.

    Raises:
        DataError: the folder has moved, or cannot be read.
    """
    if not (data / INTERACTIONS).exists():
        raise DataError(
            f"{data} is no data folder (it has no {INTERACTIONS}); it gives the histories, so if "
            "it has moved, say where it is by --data DATA"
        )
    dataset = load_dataset(data)
    log = dataset.interactions
    wanted = np.array(user_ids, object)
    place = np.minimum(np.searchsorted(log.user_ids, wanted), len(log.user_ids) - 1)
    known = log.user_ids[place] == wanted
    asked = np.zeros(len(log.user_ids), bool)
    asked[place[known]] = True
    part = merge_repeats(sort_by_pair(log.where(asked[log.users]), len(dataset.catalogue)))
    nobody = len(log.user_ids)  # a code beyond all users: finds nothing
    return Histories(dataset.catalogue, lists_by_user(part, np.where(known, place, nobody)))


def places_of(item_ids: Iterable[str], among: Iterable[str]) -> np.ndarray:
    """int64 [items]: where in `among` each of `item_ids` is, -1 where it is not."""
    place = {item_id: row for row, item_id in enumerate(among)}
    return np.array([place.get(item_id, -1) for item_id in item_ids], np.int64)
