"""What a search finds, under the names of the catalogue."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dualtower_export.exact_search import ExactSearch
from dualtower_export.retrieval_graph import Retrieval


def _retrieval(vectors: np.ndarray, blocked: np.ndarray, k: int) -> Retrieval:
    ids = np.array([f"i{row}" for row in range(len(vectors))], object)
    return Retrieval(ids, ExactSearch(tf.Variable(vectors), blocked, k))


def test_rows_become_ids_and_what_is_missing_is_empty() -> None:
    retrieval = _retrieval(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 0], bool), 3)
    users = tf.constant([[0.1, 0.9, 0.3, 0.3], [0.4, 0.3, 0.2, 0.1]])
    ids, scores = retrieval(users, tf.constant([[1, 0], [1, 0], [1, 3]]))
    assert ids.numpy().tolist() == [[b"i2", b"i3", b"i0"], [b"i2", b"", b""]]
    np.testing.assert_allclose(scores.numpy()[0], [0.3, 0.3, 0.1])
    assert np.isneginf(scores.numpy()[1, 1:]).all()


def test_when_everything_is_excluded_the_list_is_empty() -> None:
    retrieval = _retrieval(np.eye(3, dtype=np.float32), np.zeros(3, bool), 2)
    ids, scores = retrieval(tf.ones([1, 3]), tf.constant([[0, 0], [0, 1], [0, 2], [0, 2]]))
    assert ids.numpy().tolist() == [[b"", b""]]
    assert np.isneginf(scores.numpy()).all()
