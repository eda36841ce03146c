"""InfoNCE: the other rows of the batch are the negatives, corrected for how often they are drawn.

Two corrections, with Q(j) the probability that one draw of the sampler is item j:

    standard   every logit, the positive's too, enters as s(j) - ln Q(j)      (Yi et al. 2019,
               https://doi.org/10.1145/3298689.3346996)
    corrected  the positive is there with certainty and no draw. With Q'(n) = Q(n) / (1 - Q(p)),
               L = ln 1/|N| Σ_n e^(s(n) - ln Q'(n))  over the drawn negatives n ≠ p,
               P = e^s(p) / (e^s(p) + e^L),
               loss = sg(1 - P) · (L - s(p)),  sg stopping the gradient      (Khrylchenko et al.
               2025, https://arxiv.org/abs/2507.09331)

The factor 1 - P, the chance that the model still errs, is what makes the gradient of the corrected
form the gradient of the full softmax in expectation.
"""

from __future__ import annotations

import tensorflow as tf

from dualtower_trainer.losses.weighting import mask_logits, weighted_mean

__all__ = ["info_nce", "info_nce_over_candidates"]


def info_nce(
    users: tf.Tensor,
    items: tf.Tensor,
    *,
    temperature: tf.Tensor | float,
    log_q: tf.Tensor | None = None,
    accidental: tf.Tensor | None = None,
    negatives: tf.Tensor | None = None,
    negatives_log_q: tf.Tensor | None = None,
    negatives_accidental: tf.Tensor | None = None,
    user_log_q: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    symmetric: bool = False,
    corrected: bool = False,
) -> tf.Tensor:
    """In-batch softmax: row i of `users` has to find row i of `items` among all rows.

    Args:
        users: float32 [batch, dim], of length 1; anchors, where both sides are items.
        items: float32 [batch, dim], of length 1; row i is the positive of user i.
        temperature: scalar, by which cosines are divided.
        log_q: float32 [batch], ln Q of each item; None takes all as equally likely. A constant
            shift changes nothing in the standard form; the corrected form needs probabilities.
        accidental: bool [batch, batch], true where item j is no negative for user i (the same item,
            or one that this user took). The diagonal is ignored.
        negatives: float32 [extra, dim], more negatives for every user: uniform draws, mined ones,
            the contents of a queue.
        negatives_log_q: float32 [extra], as `log_q`; give both or neither.
        negatives_accidental: bool [batch, extra], as `accidental`.
        user_log_q: float32 [batch], as `log_q` for the users as negatives of the items; only read
            if `symmetric`. None is the plain softmax, right where users are drawn evenly.
        weights: float32 [batch], how much each row counts; None for all alike.
        symmetric: also let items find their users, and return the mean of both directions (Radford
            et al. 2021, https://arxiv.org/abs/2103.00020).
        corrected: the corrected form above, for every direction whose Q is given.

    Returns:
        float32 scalar.

    Raises:
        ValueError: `corrected` without `log_q`, or one of `log_q` and `negatives_log_q` alone.
    """
    if corrected and log_q is None:
        raise ValueError("corrected=True needs log_q: ln of the probability of each item")
    if negatives is not None and (log_q is None) != (negatives_log_q is None):
        raise ValueError("with negatives, give log_q and negatives_log_q together or neither")
    scores = tf.matmul(users, items, transpose_b=True) / temperature
    excluded = tf.zeros_like(scores, tf.bool) if accidental is None else accidental
    own = tf.linalg.diag_part(scores)
    masked = tf.linalg.set_diag(excluded, tf.ones_like(own, tf.bool))
    rivals, rivals_masked, rivals_log_q = scores, masked, log_q
    if negatives is not None:
        extra = tf.matmul(users, negatives, transpose_b=True) / temperature
        rivals = tf.concat([scores, extra], 1)
        if negatives_accidental is None:
            negatives_accidental = tf.zeros_like(extra, tf.bool)
        rivals_masked = tf.concat([masked, negatives_accidental], 1)
        if log_q is not None:
            rivals_log_q = tf.concat([log_q, negatives_log_q], 0)
    forward = weighted_mean(
        _direction(own, rivals, rivals_masked, log_q, rivals_log_q, corrected), None, weights
    )
    if not symmetric:
        return forward
    backward = _direction(
        own,
        tf.transpose(scores),
        tf.transpose(masked),
        user_log_q,
        user_log_q,
        corrected and user_log_q is not None,
    )
    return (forward + weighted_mean(backward, None, weights)) / 2


def _direction(own, rivals, masked, own_log_q, rivals_log_q, corrected):
    """float32 [batch], the loss of each row; own [batch], rivals and masked [batch, rivals]."""
    if not corrected:
        if own_log_q is not None:
            own, rivals = own - own_log_q, rivals - rivals_log_q
        return tf.nn.softplus(_log_sum(rivals, masked) - own)
    log_others = tf.math.log1p(-tf.minimum(tf.exp(own_log_q), 1 - 1e-6))  # ln(1 - Q(p))
    rivals = rivals - rivals_log_q + log_others[:, None]
    drawn = tf.reduce_sum(tf.cast(~masked, own.dtype), 1)
    gap = _log_sum(rivals, masked) - tf.math.log(tf.maximum(drawn, 1)) - own
    return tf.stop_gradient(tf.sigmoid(gap)) * gap


def _log_sum(logits, masked):
    return tf.reduce_logsumexp(mask_logits(logits, masked), -1)


def info_nce_over_candidates(
    users: tf.Tensor,
    positives: tf.Tensor,
    positive_mask: tf.Tensor,
    candidates: tf.Tensor,
    log_expected_count: tf.Tensor,
    accidental: tf.Tensor,
    temperature: tf.Tensor,
    weights: tf.Tensor | None = None,
    *,
    symmetric: bool = False,
    corrected: bool = False,
) -> tf.Tensor:
    """`info_nce` for several positives a row and a shared list of candidates.

    Arguments as in `sampled_softmax`; the first batch · targets candidates must be the positives,
    row by row. With expected counts c instead of probabilities the corrected form is
    L = ln Σ_n e^(s(n) - ln c(n)), since |N|·Q'(n) is c(n) in expectation.

    Args:
        symmetric: also let each positive find its user among the users of the batch; users are
            drawn evenly, so that this direction needs no correction.
        corrected: as in `info_nce`; its gradient is that of `sampled_softmax`.
    """
    batch, targets = tf.shape(positives)[0], tf.shape(positives)[1]
    negative = tf.matmul(users, candidates, transpose_b=True) / temperature
    rest = _log_sum(negative - log_expected_count, accidental)[:, None]
    own = tf.reduce_sum(tf.expand_dims(users, 1) * positives, -1) / temperature
    if corrected:
        gap = rest - own
        forward = tf.stop_gradient(tf.sigmoid(gap)) * gap
    else:
        own_count = tf.reshape(log_expected_count[: batch * targets], [batch, targets])
        forward = tf.nn.softplus(rest - (own - own_count))
    forward = weighted_mean(forward, positive_mask, weights)
    if not symmetric:
        return forward
    scores = tf.einsum("btd,ud->btu", positives, users) / temperature
    took = tf.reshape(tf.transpose(accidental[:, : batch * targets]), [batch, targets, batch])
    masked = took | tf.eye(batch, dtype=tf.bool)[:, None, :]
    others = _log_sum(scores, masked)
    return (forward + weighted_mean(tf.nn.softplus(others - own), positive_mask, weights)) / 2
