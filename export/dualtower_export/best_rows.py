"""The k largest of many scores inside of a graph, of equal ones the lower row first.

Rows are cut into blocks. An entry of the best k lies in one of the k blocks with the largest
maxima, of equal maxima the first: each of k better blocks would hold a better entry. So one pass
takes maxima, and only k · BLOCK entries are sorted. Scores stand as [rows, batch], which is what
`vectors · usersᵀ` gives: the table needs no transposed copy.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["BLOCK", "Best", "best_of_scores", "merge", "nothing"]

BLOCK = 32

Best = tuple[tf.Tensor, tf.Tensor]  # scores float32 [batch, k], best first, and rows int32


def nothing(batch: tf.Tensor, k: int) -> Best:
    """A list without items: -inf everywhere."""
    shape = tf.stack([batch, k])
    return tf.fill(shape, tf.constant(-float("inf"))), tf.zeros(shape, tf.int32)


def best_of_scores(scores: tf.Tensor, floor: tf.Tensor, k: int) -> Best:
    """The best rows of a chunk, k of them or all that can matter.

    Args:
        scores: float32 [rows, batch], no NaN.
        floor: float32 [batch]; scores at or below it do not matter.
        k: how many at most.
    """
    rows, batch = tf.shape(scores)[0], tf.shape(scores)[1]
    blocks = rows // BLOCK
    whole = tf.reshape(scores[: blocks * BLOCK], tf.stack([blocks, BLOCK, batch]))
    maxima = tf.transpose(tf.reduce_max(whole, axis=1))
    above = tf.reduce_sum(tf.cast(maxima > floor[:, None], tf.int32), axis=1)
    wanted = tf.minimum(k, tf.reduce_max(tf.concat([above, [0]], axis=0)))
    _, chosen = tf.math.top_k(maxima, wanted)
    inside = tf.range(BLOCK)
    places = tf.sort(chosen, axis=1)[:, :, None] * BLOCK + inside
    places = tf.reshape(places, tf.stack([batch, wanted * BLOCK]))
    tail = tf.range(blocks * BLOCK, rows)  # fewer than a block
    tails = tf.broadcast_to(tail, tf.stack([batch, tf.size(tail)]))
    places = tf.concat([places, tails], axis=1)
    entries = tf.gather(tf.reshape(scores, [-1]), places * batch + tf.range(batch)[:, None])
    best, at = tf.math.top_k(entries, tf.minimum(k, tf.shape(entries)[1]))
    return best, tf.gather(places, at, batch_dims=1)


def merge(before: Best, after: Best, k: int) -> Best:
    """The k best of two lists, where all rows of `before` are lower than those of `after`."""
    scores = tf.concat([before[0], after[0]], axis=1)
    best, at = tf.math.top_k(scores, k)
    return best, tf.gather(tf.concat([before[1], after[1]], axis=1), at, batch_dims=1)
