"""Losses of the heads: means over the pairs that have a label, 0 where none has."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["event_loss", "rating_loss"]


def event_loss(logits: tf.Tensor, events: tf.Tensor) -> tf.Tensor:
    """Cross-entropy -ln softmax(logits)[event], a scalar.

    Args:
        logits: float32 [pairs, events].
        events: int32 [pairs], negative where there is no label.
    """
    known = events >= 0
    errors = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(known, events, 0), logits=logits
    )
    return _mean(errors, known)


def rating_loss(foreseen: tf.Tensor, ratings: tf.Tensor) -> tf.Tensor:
    """Squared error, a scalar.

    Args:
        foreseen: float32 [pairs].
        ratings: float32 [pairs], standardised, NaN where there is no label.
    """
    known = tf.math.is_finite(ratings)
    # a NaN that is only multiplied by 0 would be a NaN in the gradient
    errors = tf.math.squared_difference(foreseen, tf.where(known, ratings, tf.zeros_like(ratings)))
    return _mean(errors, known)


def _mean(errors: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    counted = tf.cast(known, errors.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(errors * counted), tf.reduce_sum(counted))
