"""The margin loss over (anchor, positive, negative), with the negatives chosen inside the batch."""

from __future__ import annotations

import tensorflow as tf

from dualtower_trainer.losses.weighting import mask_logits, weighted_mean

__all__ = ["MINING", "triplet"]

MINING = ("all", "hard", "semi_hard")


def triplet(
    positive: tf.Tensor,
    negative: tf.Tensor,
    excluded: tf.Tensor,
    *,
    margin: float,
    mining: str = "semi_hard",
    positive_mask: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Mean of max(0, margin - s(p) + s(n)): a positive must lead a negative by the margin.

    Which negatives of a row count is the choice of `mining`:

        all        the mean over all of them
        hard       the one with the highest score (Hermans et al. 2017,
                   https://arxiv.org/abs/1703.07737)
        semi_hard  the highest that is below the positive, else the lowest of all: the hardest
                   ones collapse a young model (Schroff et al. 2015,
                   https://arxiv.org/abs/1503.03832)

    Args:
        positive: float32 [batch, targets], cosines.
        negative: float32 [batch, candidates], cosines.
        excluded: bool [batch, candidates], true where a candidate is no negative for the row.
        margin: the lead that is asked for, in units of the cosine.
        positive_mask: float32 [batch, targets], 0 where a row has fewer targets.
        weights: float32 [batch, targets], how much each positive counts.

    Returns:
        float32 scalar; a row without one negative adds zero.
    """
    if mining not in MINING:
        raise ValueError(f"mining must be one of {', '.join(MINING)}, got {mining!r}")
    valid = tf.cast(~excluded, positive.dtype)
    if mining == "all":
        hinge = tf.nn.relu(margin - positive[:, :, None] + negative[:, None, :])
        count = tf.reduce_sum(valid, 1)[:, None]
        each = tf.math.divide_no_nan(tf.reduce_sum(hinge * valid[:, None, :], 2), count)
    else:
        chosen = tf.reduce_max(mask_logits(negative, excluded), 1, keepdims=True)
        if mining == "semi_hard":
            chosen = _semi_hard(positive, negative, excluded)
        each = tf.nn.relu(margin - positive + chosen)
        each *= tf.reduce_max(valid, 1, keepdims=True)
    return weighted_mean(each, positive_mask, weights)


def _semi_hard(positive, negative, excluded):
    """float32 [batch, targets], the score of the chosen negative."""
    below = (negative[:, None, :] < positive[:, :, None]) & ~excluded[:, None, :]
    best = tf.reduce_max(mask_logits(negative[:, None, :], ~below), 2)
    lowest = -tf.reduce_max(mask_logits(-negative, excluded), 1, keepdims=True)
    return tf.where(tf.reduce_any(below, 2), best, lowest)
