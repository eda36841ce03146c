"""What the encoder is tuned by: a loss of unit vectors, and constants of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import tensorflow as tf

from dualtower_trainer.losses import info_nce

__all__ = ["Objective", "contrastive", "likeness"]

_SELF = -1e9


class Objective(Protocol):
    """A loss of the vectors of each side and of the batch's constants, a float32 scalar."""

    def __call__(self, vectors: Sequence[tf.Tensor], constants: Sequence[tf.Tensor]) -> tf.Tensor:
        """The loss.

        Args:
            vectors: of each side float32 [batch, dim], of length 1.
            constants: what belongs to the batch and has no gradient.
        """


def contrastive(temperature: float | Callable[[], tf.Tensor]) -> Objective:
    """Each left side finds its right side in the batch, and the reverse (`losses.info_nce`).

    The constants are `accidental` bool [batch, batch] and `weight` float32 [batch]. With a queue or
    mined negatives two more follow: `others_accidental` bool [batch, mined + queued] and the
    queue's vectors float32 [queued, dim]; those of the mined texts, if any, are a third side.

    `temperature`: a number, or what gives the learned one.
    """

    def loss(vectors: Sequence[tf.Tensor], constants: Sequence[tf.Tensor]) -> tf.Tensor:
        left, right, *mined = vectors
        accidental, weight, *others = constants
        negatives, others_accidental = None, None
        if others:
            others_accidental, queued = others
            negatives = tf.concat([*mined, queued], axis=0)
        return info_nce(
            left, right, temperature=temperature() if callable(temperature) else temperature,
            accidental=accidental, weights=weight, symmetric=True,
            negatives=negatives, negatives_accidental=others_accidental,
        )  # fmt: skip

    return loss


def likeness(temperature: float) -> Objective:
    """A student's distance to its teacher: vector by vector, and in whom each text is near to.

    The first part is the mean of 1 - cosine, which for unit vectors is half of their squared
    distance. The second is KL(teacher ‖ student) of the softmax of cosines to the other texts of
    the batch (as for passages in Hofstätter et al. 2021, https://arxiv.org/abs/2104.06967), which
    survives where the student is too narrow to copy the vectors.

    The one constant is the teacher's vectors, float32 [batch, dim], of length 1.
    """

    def loss(vectors: Sequence[tf.Tensor], constants: Sequence[tf.Tensor]) -> tf.Tensor:
        (student,), (teacher,) = vectors, constants
        apart = 1.0 - tf.reduce_mean(tf.reduce_sum(student * teacher, axis=1))
        wanted = _log_shares(teacher, temperature)
        got = _log_shares(student, temperature)
        divergence = tf.reduce_sum(tf.exp(wanted) * (wanted - got), axis=1)
        return apart + tf.reduce_mean(divergence)

    return loss


def _log_shares(unit: tf.Tensor, temperature: float) -> tf.Tensor:
    """ln of the softmax over the other rows; the share of a row in itself is exp(-1e9) = 0."""
    scores = tf.matmul(unit, unit, transpose_b=True) / temperature
    return tf.nn.log_softmax(tf.linalg.set_diag(scores, tf.fill([tf.shape(unit)[0]], _SELF)))
