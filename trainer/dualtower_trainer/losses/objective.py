"""From section [loss] to one callable, so that the training step is the same for every loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import tensorflow as tf

from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.losses.alignment import direct_au
from dualtower_trainer.losses.cuts import matryoshka
from dualtower_trainer.losses.in_batch import info_nce_over_candidates
from dualtower_trainer.losses.pairwise import pairwise_bce, pairwise_cosine
from dualtower_trainer.losses.sampled import linked_softmax, sampled_softmax
from dualtower_trainer.losses.triplets import triplet
from dualtower_trainer.losses.weighting import mask_logits

__all__ = ["Objective", "make_loss"]


class Objective(Protocol):
    """What `make_loss` returns; a loss that needs less ignores the rest."""

    def __call__(
        self,
        users: tf.Tensor,
        positives: tf.Tensor,
        positive_mask: tf.Tensor,
        candidates: tf.Tensor,
        log_expected_count: tf.Tensor,
        accidental: tf.Tensor,
        temperature: tf.Tensor,
        weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The loss of one batch, a float32 scalar.

        Args:
            users: float32 [batch, dim], of length 1.
            positives: float32 [batch, targets, dim], of length 1.
            positive_mask: float32 [batch, targets], 0 where a row has fewer targets.
            candidates: float32 [candidates, dim], of length 1; the first batch · targets are the
                positives, row by row, then come drawn, mined or queued negatives.
            log_expected_count: float32 [candidates], ln of the expected draws of this item.
            accidental: bool [batch, candidates], true where a candidate is no negative.
            temperature: float32 scalar.
            weights: float32 [batch, targets], how much each positive counts.
        """


def make_loss(config: LossConfig) -> Objective:
    """The loss that `config` names, safe under `tf.function(jit_compile=True)`.

    Inverse propensities and the learned temperature stay with the caller, who has the item rows
    and the optimiser: `propensity_weights` gives `weights`, `Temperature` gives `temperature`.

    Example:
        loss = make_loss(LossConfig(kind="info_nce", corrected=True))
    """
    objective = _whole(config)
    if not config.matryoshka_dims:
        return objective

    def cut(
        users, positives, positive_mask, candidates, log_expected_count, accidental, temperature,
        weights=None,
    ):  # fmt: skip
        def at(users, positives, candidates):
            return objective(
                users, positives, positive_mask, candidates, log_expected_count, accidental,
                temperature, weights,
            )  # fmt: skip

        return matryoshka(
            at,
            [users, positives, candidates],
            config.matryoshka_dims,
            config.matryoshka_weights or None,
        )

    return cut


def _whole(config: LossConfig) -> Objective:
    if config.kind == "sampled_softmax":
        return sampled_softmax
    if config.kind == "linked_softmax":
        return linked_softmax
    if config.kind == "info_nce":
        return partial(
            info_nce_over_candidates, symmetric=config.symmetric, corrected=config.corrected
        )
    if config.kind == "pairwise":
        return partial(_labelled, pairwise_cosine, False)
    if config.kind == "bce":
        return partial(_labelled, pairwise_bce, True)
    if config.kind == "triplet":
        return partial(_triplet, config.margin, config.mining)
    return partial(_direct_au, config.uniformity_weight)


def _labelled(
    form: Callable[..., tf.Tensor], divide: bool,
    users, positives, positive_mask, candidates, log_expected_count, accidental, temperature,
    weights=None,
):  # fmt: skip
    """Positives as y = +1, candidates as y = -1, each side with half of the weight.

    Candidates stand for the whole catalogue: a row's share goes to them by 1 / expected count.
    """
    own = tf.reduce_sum(tf.expand_dims(users, 1) * positives, -1)
    rest = tf.matmul(users, candidates, transpose_b=True)
    scores = tf.concat([own, rest], 1)
    labels = tf.concat([tf.ones_like(own), -tf.ones_like(rest)], 1)
    wanted = positive_mask if weights is None else positive_mask * weights
    share = tf.nn.softmax(mask_logits(-log_expected_count[None], accidental))
    share *= tf.cast(~accidental, share.dtype)
    unwanted = share * tf.reduce_sum(wanted, 1, keepdims=True)
    return form(
        scores / temperature if divide else scores, labels, tf.concat([wanted, unwanted], 1)
    )


def _triplet(
    margin: float, mining: str,
    users, positives, positive_mask, candidates, log_expected_count, accidental, temperature,
    weights=None,
):  # fmt: skip
    del log_expected_count, temperature
    return triplet(
        tf.reduce_sum(tf.expand_dims(users, 1) * positives, -1),
        tf.matmul(users, candidates, transpose_b=True),
        accidental,
        margin=margin,
        mining=mining,
        positive_mask=positive_mask,
        weights=weights,
    )


def _direct_au(
    uniformity_weight: float,
    users, positives, positive_mask, candidates, log_expected_count, accidental, temperature,
    weights=None,
):  # fmt: skip
    del candidates, log_expected_count, accidental, temperature
    return direct_au(
        users, positives, positive_mask, uniformity_weight=uniformity_weight, weights=weights
    )
