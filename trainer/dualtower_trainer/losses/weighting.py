"""The mask that every loss begins with, and the mean that it ends in."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["mask_logits", "weighted_mean"]

_MASKED = -1e9  # finite, so that a row without one negative has a loss and a gradient of zero


def mask_logits(logits: tf.Tensor, excluded: tf.Tensor) -> tf.Tensor:
    """Logits of any float type, so low that they count for nothing where `excluded` (bool) is true.

    The two broadcast against each other.
    """
    logits = tf.convert_to_tensor(logits)
    return tf.where(excluded, tf.constant(_MASKED, logits.dtype), logits)


def weighted_mean(
    values: tf.Tensor, mask: tf.Tensor | None = None, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Σ w·v / Σ w with w = mask · weights, the self-normalised estimate of an expectation.

    Dividing by the weights that were drawn, and not by their number, bounds the estimate by the
    largest value (Swaminathan & Joachims 2015, https://papers.nips.cc/paper/5748). Zero where every
    weight is zero.

    Args:
        values: float [any shape].
        mask: float of that shape, 0 where a value does not count; None counts all.
        weights: float of that shape, e.g. inverse propensities; None weighs all alike.
    """
    factors = tf.ones_like(values) if mask is None else mask
    if weights is not None:
        factors = factors * weights
    return tf.math.divide_no_nan(tf.reduce_sum(values * factors), tf.reduce_sum(factors))
