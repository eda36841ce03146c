"""Retrieval inside of a graph: the k best items that are neither blocked nor excluded."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dualtower_export.exact_search import Search

__all__ = ["Retrieval"]


class Retrieval(tf.Module):
    """A search, with the ids of what it finds.

    Args:
        item_ids: str [n], or a string tensor that several share.
        search: ranks rows; see `ExactSearch`.
    """

    def __init__(self, item_ids: np.ndarray | tf.Tensor, search: Search) -> None:
        super().__init__(name="retrieval")
        self._item_ids = tf.constant(item_ids, tf.string)
        self._search = search

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best items of each user, best first; of equal scores the lower row first.

        Args:
            users: float32 [batch, dim].
            excluded: int32 [m, 2], pairs of batch row and item row; repeats do no harm.

        Returns:
            item ids string [batch, k] and scores float32 [batch, k]. Where fewer than k items
            remain, the tail has "" and -inf.
        """
        scores, rows = self._search(users, excluded)
        item_ids = tf.where(scores > -np.inf, tf.gather(self._item_ids, rows), "")
        return item_ids, scores
