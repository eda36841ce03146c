"""Alignment and uniformity on the unit sphere: a loss without negatives or temperature.

Alignment draws the two sides of a pair together, uniformity spreads each side over the sphere (Wang
& Isola 2020, https://arxiv.org/abs/2005.10242); DirectAU trains a recommender by their weighted sum
(Wang et al. 2022, https://arxiv.org/abs/2206.12811).
"""

from __future__ import annotations

import tensorflow as tf

from dualtower_trainer.losses.weighting import weighted_mean

__all__ = ["alignment", "direct_au", "uniformity"]


def alignment(users: tf.Tensor, items: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """The weighted mean of |u - i|² over pairs.

    Args:
        users: float32 [..., dim], of length 1.
        items: float32 [..., dim], of length 1.
        weights: float32 [...], 0 for a pair that does not count; None for all alike.
    """
    return weighted_mean(tf.reduce_sum(tf.square(users - items), -1), None, weights)


def uniformity(
    vectors: tf.Tensor, weights: tf.Tensor | None = None, *, sharpness: float = 2.0
) -> tf.Tensor:
    """ln of the mean of e^(-sharpness · |x - y|²) over pairs of different rows.

    Args:
        vectors: float32 [n, dim], of length 1.
        weights: float32 [n]; a pair counts by the product of its two weights.

    Returns:
        float32 scalar, 0 when all rows coincide and lower the more evenly they spread; 0 also for
        fewer than two rows.
    """
    cosines = tf.matmul(vectors, vectors, transpose_b=True)
    kernel = tf.exp(-sharpness * (2 - 2 * cosines))
    factors = tf.ones_like(vectors[:, 0]) if weights is None else weights
    pairs = factors[:, None] * factors[None, :]
    pairs = tf.linalg.set_diag(pairs, tf.zeros_like(factors))
    total = tf.reduce_sum(pairs)
    mean = tf.math.divide_no_nan(tf.reduce_sum(kernel * pairs), total)
    return tf.math.log(tf.where(total > 0, mean, tf.ones_like(mean)))


def direct_au(
    users: tf.Tensor,
    positives: tf.Tensor,
    positive_mask: tf.Tensor,
    *,
    uniformity_weight: float,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Alignment + γ · the mean of the uniformities of users and of positives.

    Args:
        users: float32 [batch, dim], of length 1.
        positives: float32 [batch, targets, dim], of length 1.
        positive_mask: float32 [batch, targets], 0 where a row has fewer targets.
        uniformity_weight: γ.
        weights: float32 [batch, targets], how much each positive counts.
    """
    factors = positive_mask if weights is None else positive_mask * weights
    drawn = tf.cast(tf.reduce_max(positive_mask, 1) > 0, users.dtype)  # a user with no target
    items = tf.reshape(positives, [-1, tf.shape(positives)[-1]])
    spread = uniformity(users, drawn) + uniformity(items, tf.reshape(factors, [-1]))
    return alignment(users[:, None, :], positives, factors) + uniformity_weight * spread / 2
