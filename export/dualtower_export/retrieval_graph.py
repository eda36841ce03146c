"""Exact retrieval inside of a graph: the k best items that are neither blocked nor excluded."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

__all__ = ["Retrieval"]


class Retrieval(tf.Module):
    """Ranks all items of a catalogue by dot product.

    Args:
        item_ids: str [n].
        vectors: float32 [n, dim], shared with the history lookup.
        blocked: bool [n], items that are never recommended.
        k: length of the list, at most n.
    """

    def __init__(
        self, item_ids: np.ndarray, vectors: tf.Variable, blocked: np.ndarray, k: int
    ) -> None:
        super().__init__(name="retrieval")
        self._item_ids = tf.constant(list(item_ids), tf.string)
        self._vectors, self._k = vectors, k
        self._blocked = None
        if blocked.any():
            self._blocked = tf.constant(np.where(blocked, -np.inf, 0.0), tf.float32)

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best items of each user, best first; of equal scores the lower row first.

        Args:
            users: float32 [batch, dim].
            excluded: int32 [m, 2], pairs of batch row and item row; repeats do no harm.

        Returns:
            item ids string [batch, k] and scores float32 [batch, k]. Where fewer than k items
            remain, the tail has "" and -inf.
        """
        scores = tf.matmul(users, self._vectors, transpose_b=True)
        if self._blocked is not None:
            scores += self._blocked
        barred = tf.fill([tf.shape(excluded)[0]], -np.inf)
        scores = tf.tensor_scatter_nd_update(scores, excluded, tf.cast(barred, tf.float32))
        best, rows = tf.math.top_k(scores, self._k)
        item_ids = tf.where(best > -np.inf, tf.gather(self._item_ids, rows), "")
        return item_ids, best
