"""Softmax cross-entropy over the catalogue, from sampled candidates."""

from __future__ import annotations

import tensorflow as tf

from dualtower_trainer.losses.weighting import mask_logits, weighted_mean

__all__ = ["linked_softmax", "sampled_softmax"]


def sampled_softmax(
    users: tf.Tensor,
    positives: tf.Tensor,
    positive_mask: tf.Tensor,
    candidates: tf.Tensor,
    log_expected_count: tf.Tensor,
    accidental: tf.Tensor,
    temperature: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Softmax cross-entropy over the catalogue, estimated from sampled candidates.

    A candidate that the sampler draws `c` times in expectation enters with s - ln c, so that the
    sum over the draws is an unbiased estimate of the sum over all items (the logQ correction,
    Bengio & Senécal 2008; Yi et al. 2019, https://doi.org/10.1145/3298689.3346996). The positive is
    in the batch with certainty: it enters once, uncorrected, and never as its own negative. Its
    gradient is that of the corrected form of https://arxiv.org/abs/2507.09331, see `info_nce`.

    Args:
        users: float32 [batch, dim], of length 1.
        positives: float32 [batch, targets, dim], of length 1.
        positive_mask: float32 [batch, targets], 0 where a row has fewer targets.
        candidates: float32 [candidates, dim], of length 1; all positives, and drawn negatives.
        log_expected_count: float32 [candidates], ln of the expected draws of this item.
        accidental: bool [batch, candidates], true where a candidate is no negative for the row:
            an item that the person took, the positive itself, or padding.
        temperature: float32 scalar, by which cosines are divided.
        weights: float32 [batch, targets], how much each positive counts; None for all alike.

    Returns:
        float32 scalar, the weighted mean over all positives.
    """
    negative = tf.matmul(users, candidates, transpose_b=True) / temperature
    positive = tf.reduce_sum(tf.expand_dims(users, 1) * positives, -1) / temperature
    per_positive = _cross_entropy(positive, negative, log_expected_count, accidental)
    return weighted_mean(per_positive, positive_mask, weights)


def linked_softmax(
    users: tf.Tensor,
    positives: tf.Tensor,
    positive_mask: tf.Tensor,
    candidates: tf.Tensor,
    log_expected_count: tf.Tensor,
    accidental: tf.Tensor,
    temperature: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """`sampled_softmax` of ln softplus(cosine / temperature) in the place of cosine / temperature.

    For towers that start from a regression: its scores are shares, not their logarithms, and
    softplus makes a positive share of any number, x itself where x ≫ 1 and eˣ where x ≪ -1. The
    order of items stays, so nothing changes at serving. Arguments as in `sampled_softmax`.
    """
    negative = _log_share(tf.matmul(users, candidates, transpose_b=True) / temperature)
    positive = _log_share(tf.reduce_sum(tf.expand_dims(users, 1) * positives, -1) / temperature)
    per_positive = _cross_entropy(positive, negative, log_expected_count, accidental)
    return weighted_mean(per_positive, positive_mask, weights)


def _cross_entropy(
    positive: tf.Tensor,
    negative: tf.Tensor,
    log_expected_count: tf.Tensor,
    accidental: tf.Tensor,
) -> tf.Tensor:
    """Of logits [batch, targets] against [batch, candidates]: float32 [batch, targets]."""
    negative = mask_logits(negative - log_expected_count, accidental)
    # -ln(e^p / (e^p + Σ e^n)) = softplus(logsumexp(n) - p), without overflow
    return tf.nn.softplus(tf.reduce_logsumexp(negative, -1, keepdims=True) - positive)


def _log_share(x: tf.Tensor) -> tf.Tensor:
    """ln softplus(x), x itself far below zero, where softplus(x) is eˣ."""
    safe = tf.maximum(x, -15.0)
    return tf.where(x > -15.0, tf.math.log(tf.nn.softplus(safe)), x)
