"""Items as columns, and the changes that make new ones of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Items", "column", "named"]

_NAMED = 5


@dataclass(frozen=True)
class Items:
    """n items in the order of the catalogue, which breaks ties between equal scores.

    Attributes:
        item_ids: object str [n], distinct.
        categories: object str [n], "" where an item has none.
        vectors: float32 [n, dim], rows one after the other.
        row_of: the row of each id.
    """

    item_ids: NDArray[np.object_]
    categories: NDArray[np.object_]
    vectors: NDArray[np.float32]
    row_of: Mapping[str, int]

    @classmethod
    def of(
        cls, item_ids: Sequence[str], categories: Sequence[str], vectors: NDArray[np.float32]
    ) -> Items:
        """Items of three columns."""
        row_of = {item_id: row for row, item_id in enumerate(item_ids)}
        return cls(column(item_ids), column(categories), vectors, row_of)

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def longest(self) -> float:
        """The length of the longest vector."""
        squares = np.einsum("nd,nd->n", self.vectors, self.vectors)
        return float(np.sqrt(squares.max(initial=0)))

    @cached_property
    def rows_of_category(self) -> Mapping[str, Sequence[int]]:
        """The rows of each category, rising."""
        rows: dict[str, list[int]] = {}
        for row, category in enumerate(self.categories):
            rows.setdefault(category, []).append(row)
        return rows

    def rows(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """The rows of those ids that are here, rising, each once."""
        found = {self.row_of[item_id] for item_id in item_ids if item_id in self.row_of}
        return np.fromiter(sorted(found), np.int64, len(found))

    def taken(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Items:
        """The items of these rows."""
        item_ids, categories = self.item_ids[rows].tolist(), self.categories[rows].tolist()
        return Items.of(item_ids, categories, self.vectors[rows])

    def added(self, new: Items) -> Items:
        """These, then the new ones."""
        first = len(self)
        return Items(
            np.concatenate([self.item_ids, new.item_ids]),
            np.concatenate([self.categories, new.categories]),
            np.concatenate([self.vectors, new.vectors]),
            {**self.row_of, **{item_id: first + row for item_id, row in new.row_of.items()}},
        )

    def replaced(self, rows: NDArray[np.int64], new: Items) -> Items:
        """These, with the new ones' categories and vectors in `rows`."""
        categories, vectors = self.categories.copy(), self.vectors.copy()
        categories[rows], vectors[rows] = new.categories, new.vectors
        return Items(self.item_ids, categories, vectors, self.row_of)


def column(texts: Sequence[str]) -> NDArray[np.object_]:
    """Strings as an array; numpy's own string arrays would drop trailing NULs."""
    strings = np.empty(len(texts), object)
    strings[:] = texts
    return strings


def named(item_ids: Collection[str]) -> str:
    """Some ids as an error names them."""
    some = ", ".join(repr(item_id) for item_id, _ in zip(item_ids, range(_NAMED), strict=False))
    more = len(item_ids) - _NAMED
    return f"{some} and {more} more" if more > 0 else some
