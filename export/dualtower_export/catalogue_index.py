"""Rows of a catalogue by id and by text, in numpy. No TensorFlow.

Texts need not be distinct: two articles may be described in the same words. The first row then
stands for the text in a history, and all of its rows are kept from being recommended again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualtower.errors import DataError

__all__ = ["CatalogueIndex"]


@dataclass(frozen=True)
class CatalogueIndex:
    """Ids and texts of n items, and which rows share a text.

    Attributes:
        item_ids: object str [n], distinct and not empty.
        texts: object str [n].
        distinct_texts: object str [m], the texts that are not empty, by first appearance.
        first_rows: int32 [m], the first row of each of them.
        members: int32 [n], the rows grouped by text, each group in order.
        group_start: int32 [n], where the group of a row begins in `members`.
        group_size: int32 [n], how many rows share the text of a row.
    """

    item_ids: np.ndarray
    texts: np.ndarray
    distinct_texts: np.ndarray
    first_rows: np.ndarray
    members: np.ndarray
    group_start: np.ndarray
    group_size: np.ndarray

    @classmethod
    def of(cls, item_ids: Sequence[str], texts: Sequence[str]) -> CatalogueIndex:
        """The index of a catalogue.

        Raises:
            DataError: the catalogue is empty, an id is empty, or an id is there twice.
        """
        _check_ids(item_ids)
        groups: dict[str | int, list[int]] = {}
        for row, text in enumerate(texts):
            # "" is the pad of a request: items without a text share nothing and are found by id
            groups.setdefault(text or row, []).append(row)
        start, size = np.empty(len(texts), np.int32), np.empty(len(texts), np.int32)
        begin = 0
        for rows in groups.values():
            start[rows], size[rows] = begin, len(rows)
            begin += len(rows)
        named = [rows[0] for rows in groups.values() if texts[rows[0]]]
        return cls(
            item_ids=np.array(item_ids, object),
            texts=np.array(texts, object),
            distinct_texts=np.array([texts[row] for row in named], object),
            first_rows=np.array(named, np.int32),
            members=np.array([row for rows in groups.values() for row in rows], np.int32),
            group_start=start,
            group_size=size,
        )

    @property
    def texts_are_distinct(self) -> bool:
        """Whether no two rows share a text."""
        return bool((self.group_size == 1).all())

    def rows_of_same_text(self, row: int) -> np.ndarray:
        """All rows with the text of `row`, itself among them."""
        begin = self.group_start[row]
        return self.members[begin : begin + self.group_size[row]]


def _check_ids(item_ids: Sequence[str]) -> None:
    if len(item_ids) == 0:
        raise DataError("the catalogue is empty; train on a data folder that has items")
    seen: set[str] = set()
    for row, item_id in enumerate(item_ids):
        if not item_id:
            raise DataError(
                f'item {row} of the catalogue has the id "", which pads a request; '
                "give every item an id and train again"
            )
        if item_id in seen:
            raise DataError(
                f"the catalogue has the id {item_id!r} twice; make ids unique and train again"
            )
        seen.add(item_id)
