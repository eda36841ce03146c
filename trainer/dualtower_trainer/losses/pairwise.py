"""Pairs that are labelled: y = +1 for a pair that belongs together, -1 for one that does not."""

from __future__ import annotations

import tensorflow as tf

from dualtower_trainer.losses.weighting import weighted_mean

__all__ = ["pairwise_bce", "pairwise_cosine"]


def pairwise_cosine(
    scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """The negative weighted mean of y · s: training maximises Σ y·s over all pairs.

    The gradient does not fade as pairs are learned, and a scale of the scores is a scale of the
    loss, so that no temperature enters.

    Args:
        scores: float32 [any shape], cosines.
        labels: float32 of that shape, +1 or -1.
        weights: float32 of that shape, 0 for a pair that does not count; None for all alike.

    Returns:
        float32 scalar from -1 (all pairs right) to 1.
    """
    return weighted_mean(-labels * scores, None, weights)


def pairwise_bce(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Binary cross-entropy of each pair: the weighted mean of ln(1 + e^(-y·s)).

    Arguments as in `pairwise_cosine`, but logits are cosine / temperature (the pairwise sigmoid
    loss; Zhai et al. 2023, https://arxiv.org/abs/2303.15343).
    """
    return weighted_mean(tf.nn.softplus(-labels * logits), None, weights)
