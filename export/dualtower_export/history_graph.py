"""Which entries of a history count, as graph operations.

A request's history is a rectangle [batch, items] with pads and repeats anywhere. An entry counts
when it is present, the first of its kind in its row, and among the first `limit` such entries. The
server's padding repeats a tensor's first element (tensorflow/serving#1279): as a repeat it is
ignored, so a batch of requests gives what each would give alone.

Everything is linear in the number of entries: a hostile history of a million strings costs a hash
table and not a comparison of each with each.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

__all__ = ["Entries", "compact", "distinct_entries", "most_recent"]


class Entries(NamedTuple):
    """The entries of a batch that count, in the order of batch row, then of recency.

    Attributes:
        row: int32 [entries], the row of the batch.
        place: int32 [entries], the column of the request.
        rank: int32 [entries], 0 for the most recent entry of its row.
    """

    row: tf.Tensor
    place: tf.Tensor
    rank: tf.Tensor


def distinct_entries(keys: tf.Tensor, present: tf.Tensor) -> Entries:
    """The first entry of each key in each row.

    Args:
        keys: int32 [batch, items], not negative where present; equal keys are one entry.
        present: bool [batch, items].
    """
    where = tf.where(present)  # int64 [present, 2], row-major, so in the order that is wanted
    span = tf.cast(tf.reduce_max(tf.concat([[0], tf.reshape(keys, [-1])], axis=0)), tf.int64) + 1
    pairs = where[:, 0] * span + tf.cast(tf.gather_nd(keys, where), tf.int64)
    distinct, kind = tf.unique(pairs)
    index = tf.range(tf.size(kind))
    # unique numbers its kinds by first appearance, so these positions rise
    first = tf.math.unsorted_segment_min(index, kind, tf.size(distinct))
    chosen = tf.cast(tf.gather(where, first), tf.int32)
    row, place = chosen[:, 0], chosen[:, 1]
    counts = tf.math.unsorted_segment_sum(tf.ones_like(row), row, tf.shape(keys)[0])
    starts = tf.cumsum(counts, exclusive=True)
    return Entries(row, place, tf.range(tf.size(row)) - tf.gather(starts, row))


def most_recent(entries: Entries, limit: int) -> Entries:
    """The first `limit` entries of each row."""
    kept = tf.where(entries.rank < limit)[:, 0]
    return Entries(*(tf.gather(part, kept) for part in entries))


def compact(vectors: tf.Tensor, entries: Entries, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts the vectors of entries side by side, with no pads between them.

    A batch is as wide as its longest history, so that people who did little cost little.

    Args:
        vectors: float32 [entries, dim].
        entries: the entries that the vectors belong to.
        batch: rows of the batch.

    Returns:
        items float32 [batch, width, dim] and mask float32 [batch, width]; width is at least 1.
    """
    width = tf.reduce_max(tf.concat([[0], entries.rank], axis=0)) + 1
    where = tf.stack([entries.row, entries.rank], axis=1)
    shape = tf.stack([batch, width])
    items = tf.scatter_nd(where, vectors, tf.concat([shape, [vectors.shape[-1]]], axis=0))
    mask = tf.scatter_nd(where, tf.ones_like(entries.row, tf.float32), shape)
    return items, mask
