"""Which entries of a history count: the graph against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_export.history_graph import Entries, compact, distinct_entries, most_recent


def _oracle(keys: np.ndarray, present: np.ndarray, limit: int) -> list[tuple[int, int, int]]:
    found = []
    for row, (row_keys, row_present) in enumerate(zip(keys, present, strict=True)):
        seen: dict[int, int] = {}
        for place, (key, there) in enumerate(zip(row_keys, row_present, strict=True)):
            if there and key not in seen:
                seen[key] = place
        found += [(row, place, rank) for rank, place in enumerate(seen.values()) if rank < limit]
    return found


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_first_of_each_kind_up_to_the_limit(data: st.DataObject) -> None:
    rows, items = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 7))
    limit = data.draw(st.integers(1, 4))
    cells = st.lists(st.integers(-1, 5), min_size=rows * items, max_size=rows * items)
    keys = np.array(data.draw(cells), np.int32).reshape(rows, items)
    present = keys >= 0
    entries = most_recent(distinct_entries(tf.constant(keys), tf.constant(present)), limit)
    found = list(zip(*(part.numpy().tolist() for part in entries), strict=True))
    assert found == _oracle(keys, present, limit)


def test_keys_near_the_end_of_int32_stay_apart() -> None:
    keys = np.array([[2**31 - 1, 0, 2**31 - 1], [0, 2**31 - 1, 0]], np.int32)
    entries = distinct_entries(tf.constant(keys), tf.ones_like(keys, tf.bool))
    assert entries.place.numpy().tolist() == [0, 1, 0, 1]


def test_entries_stand_side_by_side() -> None:
    entries = Entries(tf.constant([0, 0, 2]), tf.constant([1, 4, 0]), tf.constant([0, 1, 0]))
    vectors = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    items, mask = compact(vectors, entries, tf.constant(3))
    assert mask.numpy().tolist() == [[1, 1], [0, 0], [1, 0]]  # as wide as the longest
    assert items.numpy()[0].tolist() == [[1, 2], [3, 4]]
    assert items.numpy()[2, 0].tolist() == [5, 6]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_nothing_gives_nothing(shape: tuple[int, int]) -> None:
    keys = tf.zeros(shape, tf.int32)
    entries = distinct_entries(keys, tf.ones(shape, tf.bool))
    assert all(part.shape[0] == 0 for part in entries)
    items, mask = compact(tf.zeros([0, 4]), entries, tf.shape(keys)[0])
    assert items.shape == (shape[0], 1, 4)
    assert not mask.numpy().any()
