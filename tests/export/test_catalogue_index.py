"""Rows by id and by text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower.errors import DataError
from dualtower_export.catalogue_index import CatalogueIndex


def test_the_first_row_stands_for_a_shared_text() -> None:
    index = CatalogueIndex.of(["a", "b", "c", "d"], ["tea", "milk", "tea", ""])
    assert dict(zip(index.distinct_texts, index.first_rows, strict=True)) == {"tea": 0, "milk": 1}
    assert not index.texts_are_distinct
    assert index.rows_of_same_text(2).tolist() == [0, 2]
    assert index.rows_of_same_text(1).tolist() == [1]


def test_items_without_text_share_nothing() -> None:
    index = CatalogueIndex.of(["a", "b"], ["", ""])
    assert index.texts_are_distinct
    assert index.distinct_texts.size == 0
    assert index.rows_of_same_text(1).tolist() == [1]


@given(st.lists(st.sampled_from(["", "a", "b", "c", "\0000"]), min_size=1, max_size=12))
def test_groups_are_those_of_a_search(texts: list[str]) -> None:
    index = CatalogueIndex.of([f"i{row}" for row in range(len(texts))], texts)
    for row, text in enumerate(texts):
        same = [other for other, t in enumerate(texts) if t == text] if text else [row]
        assert index.rows_of_same_text(row).tolist() == same
    assert sorted(index.members) == list(range(len(texts)))
    assert index.first_rows.tolist() == [texts.index(text) for text in dict.fromkeys(texts) if text]


@pytest.mark.parametrize(
    ("ids", "said"),
    [([], "is empty"), (["a", ""], 'item 1 of the catalogue has the id ""'), (["a", "a"], "twice")],
)
def test_a_catalogue_that_cannot_be_served_is_refused(ids: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        CatalogueIndex.of(ids, [f"text {row}" for row in range(len(ids))])


def test_rows_are_int32_for_the_graph() -> None:
    index = CatalogueIndex.of(["a", "b"], ["x", "y"])
    for rows in (index.first_rows, index.members, index.group_start, index.group_size):
        assert rows.dtype == np.int32
