"""Interactions and items in memory: columns of numpy, ids coded as integers.

An item is its row in the catalogue, a user its place among the sorted user ids; both are stable for
one data folder. `load_dataset` in `load.py` makes these from the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Catalogue", "Dataset", "Interactions", "Strings"]

Strings = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items, one per row; every array has the length of the catalogue.

    Attributes:
        item_ids: unique str.
        texts: str, what the item tower reads.
        categories: str, "" where there is none; None when no item has one.
        blocked: bool, never to be recommended.
        features: float32 [items, width], vectors of another modality, zeros where an item has none;
            None when no item has one.
    """

    item_ids: Strings
    texts: Strings
    categories: Strings | None
    blocked: npt.NDArray[np.bool_]
    features: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each item id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who took what and when; the first four arrays have one entry per interaction.

    Attributes:
        users: int32 codes into `user_ids`.
        items: int32 rows of the catalogue.
        timestamps: int64 seconds UTC.
        weights: float32, above 0.
        user_ids: str, sorted; the codes of all parts of one data set point into the same array.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    timestamps: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    user_ids: Strings

    def __len__(self) -> int:
        return len(self.users)

    def where(self, keep: npt.NDArray[np.bool_]) -> Interactions:
        """The interactions that `keep` (bool, one per interaction) marks, in the same order."""
        return Interactions(
            self.users[keep],
            self.items[keep],
            self.timestamps[keep],
            self.weights[keep],
            self.user_ids,
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data folder in memory.

    Attributes:
        catalogue: the items.
        interactions: the log, in the order of the folder.
        path: the folder.
        unknown_items: interactions that named an item the folder does not have.
        ratings: float32 [interactions], NaN where there is none; None where no one has one.
        events: int32 [interactions], places in `event_names`, -1 for none; None likewise.
        event_names: what users did, such as "view" and "buy", sorted.
    """

    catalogue: Catalogue
    interactions: Interactions
    path: Path
    unknown_items: int
    ratings: npt.NDArray[np.float32] | None = None
    events: npt.NDArray[np.int32] | None = None
    event_names: tuple[str, ...] = ()

    @cached_property
    def has_time(self) -> bool:
        """Whether the timestamps tell interactions apart; without times all of them are 0."""
        times_s = self.interactions.timestamps
        return bool(times_s.min() < times_s.max())
