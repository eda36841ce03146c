"""The lengths to which rows of word pieces are padded, so that a server meets few shapes.

A batch is as wide as its longest row, rounded up to the next bucket, never `max_tokens` for its own
sake. The warm-up file covers each bucket, so no client pays for the first run of a shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

__all__ = ["bucket_of", "buckets_up_to", "pad_to_bucket"]


def buckets_up_to(max_tokens: int, wanted: Sequence[int]) -> tuple[int, ...]:
    """The wanted buckets below `max_tokens`, and `max_tokens` itself, the longest that there is."""
    return (*(bucket for bucket in wanted if bucket < max_tokens), max_tokens)


def bucket_of(tokens: int, buckets: Sequence[int]) -> int:
    """The bucket of a batch whose longest row has `tokens` pieces, at most the last bucket."""
    return buckets[int(np.searchsorted(buckets, tokens))]


def pad_to_bucket(
    ids: tf.Tensor, mask: tf.Tensor, buckets: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids and mask int32 [n, tokens] with columns of zeros added up to the next bucket."""
    tokens = tf.shape(ids)[1]
    ends = tf.constant(list(buckets), tf.int32)
    bucket = tf.reduce_min(tf.where(ends >= tokens, ends, tf.maximum(ends[-1], tokens)))
    more = [[0, 0], [0, bucket - tokens]]
    return tf.pad(ids, more), tf.pad(mask, more)
