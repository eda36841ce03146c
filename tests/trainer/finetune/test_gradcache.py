"""Gradients in chunks against the gradient of the whole batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.finetune.gradcache import cached_gradients, chunk_seed, direct_gradients
from dualtower_trainer.finetune.objectives import contrastive
from dualtower_trainer.finetune.tunable import Tunable

SEED = tf.constant([5, 11], tf.int32)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("widths", [(8, 8), (8, 5)])
def test_equals_the_big_batch(encoder, settings, make_batch, dropout: float, widths) -> None:
    settings = dataclasses.replace(settings, dropout=dropout)
    tunable = Tunable(encoder.config, encoder.tensors, settings)
    weights = [entry.variable for entry in tunable.parameters]
    batch = make_batch(12)
    sides = [
        tuple(part[:, :width] for part in side)
        for side, width in zip(batch.sides, widths, strict=True)
    ]
    sides = [tuple(map(tf.constant, side)) for side in sides]
    constants = list(map(tf.constant, batch.constants))
    objective = contrastive(0.2)

    def loss(vectors):
        return objective(vectors, constants)

    # the whole batch under one tape, each chunk with its own seed
    with tf.GradientTape() as tape:
        vectors = [
            tf.concat(
                [
                    tunable.encode(
                        ids[at * 4 : at * 4 + 4], mask[at * 4 : at * 4 + 4],
                        chunk_seed(SEED, place, at),
                    )
                    for at in range(3)
                ],
                axis=0,
            )
            for place, (ids, mask) in enumerate(sides)
        ]  # fmt: skip
        wanted_loss = loss(vectors)
    wanted = [tf.convert_to_tensor(g) for g in tape.gradient(wanted_loss, weights)]
    got_loss, got = tf.function(
        lambda: cached_gradients(
            tunable.encode, loss, sides, weights, seed=SEED, chunk_rows=4, scale=2.0
        ),
        autograph=False,
    )()
    np.testing.assert_allclose(got_loss, wanted_loss, rtol=1e-6)
    for entry, mine, theirs in zip(tunable.parameters, got, wanted, strict=True):
        np.testing.assert_allclose(mine / 2.0, theirs, atol=1e-5, err_msg=entry.name)
    assert max(float(tf.reduce_max(tf.abs(gradient))) for gradient in wanted) > 1e-2
    if not dropout:
        direct_loss, direct = direct_gradients(tunable.encode, loss, sides, weights, seed=SEED)
        np.testing.assert_allclose(direct_loss, wanted_loss, rtol=1e-6)
        for mine, theirs in zip(direct, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_memory_holds_one_chunk(encoder, settings, make_batch) -> None:
    """The graph has the encoder twice a side, however many chunks there are."""
    tunable = Tunable(encoder.config, encoder.tensors, settings)
    weights = [entry.variable for entry in tunable.parameters]
    objective = contrastive(0.2)

    def nodes(rows: int) -> int:
        batch = make_batch(rows)
        sides = [tuple(map(tf.constant, side)) for side in batch.sides]

        def loss(vectors):
            return objective(vectors, list(map(tf.constant, batch.constants)))

        graph = tf.function(
            lambda: cached_gradients(tunable.encode, loss, sides, weights, seed=SEED, chunk_rows=4),
            autograph=False,
        ).get_concrete_function()
        library = graph.graph.as_graph_def().library.function
        return sum(len(function.node_def) for function in library)

    assert nodes(8) == nodes(24)
