"""Exact retrieval in the graph against a stable sort in numpy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_export.retrieval_graph import Retrieval


def _retrieval(vectors: np.ndarray, blocked: np.ndarray, k: int) -> Retrieval:
    ids = np.array([f"i{row}" for row in range(len(vectors))], object)
    return Retrieval(ids, tf.Variable(vectors), blocked, k)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_lists_are_those_of_a_stable_sort(data: st.DataObject) -> None:
    items, users = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 3))
    k = data.draw(st.integers(1, items))
    # whole numbers, so that products are exact and ties are many
    small = st.integers(-2, 2)
    vectors = np.array(
        data.draw(st.lists(small, min_size=items * 2, max_size=items * 2)), np.float32
    ).reshape(items, 2)
    people = np.array(
        data.draw(st.lists(small, min_size=users * 2, max_size=users * 2)), np.float32
    ).reshape(users, 2)
    blocked = np.array(data.draw(st.lists(st.booleans(), min_size=items, max_size=items)))
    pair = st.tuples(st.integers(0, max(users - 1, 0)), st.integers(0, items - 1))
    pairs = data.draw(st.lists(pair, max_size=15)) if users else []
    excluded = np.array(pairs, np.int32).reshape(-1, 2)

    ids, scores = _retrieval(vectors, blocked, k)(tf.constant(people), tf.constant(excluded))

    wanted = people @ vectors.T
    wanted[:, blocked] = -np.inf
    wanted[excluded[:, 0], excluded[:, 1]] = -np.inf
    order = np.argsort(-wanted, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(wanted, order, axis=1)
    assert np.array_equal(scores.numpy(), best)
    expected = [
        [f"i{row}" if value > -np.inf else "" for row, value in zip(rows, values, strict=True)]
        for rows, values in zip(order, best, strict=True)
    ]
    assert [[raw.decode() for raw in row] for row in ids.numpy()] == expected


def test_when_everything_is_excluded_the_list_is_empty() -> None:
    retrieval = _retrieval(np.eye(3, dtype=np.float32), np.zeros(3, bool), 2)
    ids, scores = retrieval(tf.ones([1, 3]), tf.constant([[0, 0], [0, 1], [0, 2], [0, 2]]))
    assert ids.numpy().tolist() == [[b"", b""]]
    assert np.isneginf(scores.numpy()).all()
