"""A pass over all items of a catalogue inside of a graph, chunk by chunk.

The score matrix is never there as a whole: a chunk has as many rows as keep it under a fixed
number of scores for the batch at hand. One user takes a million items in one piece, 32 users take
them in eight. Reading a chunk of a table copies nothing, since it begins on a cache line.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dualtower_export.best_rows import BLOCK, Best, best_of_scores, merge, nothing

__all__ = ["SCORES_AT_A_TIME", "Barred", "scan"]

SCORES_AT_A_TIME = 1 << 22  # 16 MB


class Barred(tf.Module):
    """Items that nobody may be recommended.

    Args:
        blocked: bool [n].
    """

    def __init__(self, blocked: np.ndarray) -> None:
        super().__init__(name="barred")
        self.rows = np.flatnonzero(blocked).astype(np.int32)
        self._rows = tf.constant(self.rows) if len(self.rows) else None

    def apply(self, scores: tf.Tensor, start: tf.Tensor, excluded: tf.Tensor) -> tf.Tensor:
        """Scores with -inf where a row is blocked for all or excluded for one user.

        Args:
            scores: float32 [rows, batch] of the rows from `start` on.
            start: int32.
            excluded: int32 [m, 2], pairs of batch row and item row; repeats do no harm.
        """
        count, batch = tf.shape(scores)[0], tf.shape(scores)[1]
        if self._rows is not None:
            within = self._rows - start
            within = tf.boolean_mask(within, (within >= 0) & (within < count))
            gone = tf.fill(tf.stack([tf.size(within), batch]), tf.constant(-np.inf, tf.float32))
            scores = tf.tensor_scatter_nd_update(scores, within[:, None], gone)
        user, row = excluded[:, 0], excluded[:, 1] - start
        pairs = tf.boolean_mask(tf.stack([row, user], axis=1), (row >= 0) & (row < count))
        gone = tf.fill([tf.shape(pairs)[0]], tf.constant(-np.inf, tf.float32))
        return tf.tensor_scatter_nd_update(scores, pairs, gone)


def scan(
    scores_of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    items: int,
    batch: tf.Tensor,
    k: int,
    bar: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    *,
    scores_at_a_time: int = SCORES_AT_A_TIME,
) -> Best:
    """The k best rows of each user; of equal scores the lower row first.

    Args:
        scores_of: start and stop, int32, to float32 [stop - start, batch].
        items: rows in all.
        batch: int32, users.
        k: length of the lists; where fewer items remain the tail is -inf.
        bar: chunk and its start to the chunk with -inf where a row is barred.
        scores_at_a_time: of a chunk, about.
    """
    rows = scores_at_a_time // tf.maximum(batch, 1)
    rows = tf.maximum(rows // BLOCK, 1) * BLOCK

    def step(start: tf.Tensor, best: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, ...]:
        stop = tf.minimum(start + rows, items)
        scores = bar(scores_of(start, stop), start)
        found, places = best_of_scores(scores, best[:, k - 1], k)
        return stop, *merge((best, at), (found, places + start), k)

    shape = tf.TensorShape([None, k])
    _, best, at = tf.while_loop(
        lambda start, *_: (start < items) & (batch > 0),
        step,
        (tf.constant(0), *nothing(batch, k)),
        shape_invariants=(tf.TensorShape([]), shape, shape),
        parallel_iterations=1,
    )
    return best, at
