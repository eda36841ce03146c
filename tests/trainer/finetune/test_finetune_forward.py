"""The training pass against the exported model, its gradients against automatic ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.bert import build_bert, load_weights
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.finetune.forward import Regular, bert_forward
from dualtower_trainer.finetune.layout import fuse, split
from dualtower_trainer.finetune.operations import add_norm, bias_gelu

SEED = tf.constant([0, 0], tf.int32)


def drawn(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(0, 1, shape), tf.float32)


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_vectors_and_gradients_equal_those_of_the_exported_model(bert, make_batch, act) -> None:
    bert = dataclasses.replace(bert, hidden_act=act)
    tensors = random_tensors(bert, seed=1, stddev=0.3)
    model = build_bert(bert)
    load_weights(model, tensors)
    ids, mask = make_batch(5).sides[0]
    mask[2] = 0  # a row of pads
    wanted_pull = drawn(5, bert.hidden_size)
    with tf.GradientTape() as tape:
        wanted = model([ids, mask])
        value = tf.reduce_sum(wanted * wanted_pull)
    wanted_gradients = tape.gradient(value, model.trainable_variables)
    fused = {name: tf.Variable(value) for name, value in fuse(bert, tensors).items()}
    with tf.GradientTape() as tape:
        got = bert_forward(bert, fused, ids, mask, seed=SEED)
        value = tf.reduce_sum(got * wanted_pull)
    gradients = tape.gradient(value, list(fused.values()))
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert not np.any(got[2])
    by_shape = {}
    for name, gradient in zip(fused, gradients, strict=True):
        by_shape[name] = tf.convert_to_tensor(gradient).numpy()
    theirs = build_bert(bert)
    for variable, gradient in zip(theirs.trainable_variables, wanted_gradients, strict=True):
        variable.assign(tf.convert_to_tensor(gradient))
    from dualtower_trainer.bert import read_weights

    for name, gradient in split(bert, by_shape).items():
        np.testing.assert_allclose(gradient, read_weights(theirs)[name], atol=2e-5, err_msg=name)


def test_split_undoes_fuse(bert) -> None:
    tensors = random_tensors(bert, seed=2)
    back = split(bert, fuse(bert, tensors))
    assert sorted(back) == sorted(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize("operation", ["gelu", "norm"])
def test_gradients_written_by_hand_equal_numeric_ones(operation: str) -> None:
    pull = drawn(4, 6, seed=9)
    if operation == "gelu":
        inputs = [drawn(4, 6), drawn(6, seed=1)]
        function = bias_gelu
    else:
        inputs = [drawn(4, 6), drawn(4, 6, seed=1), drawn(6, seed=2), drawn(6, seed=3)]

        def function(*xs: tf.Tensor) -> tf.Tensor:
            return add_norm(*xs, 1e-6)

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_sum(function(*inputs) * pull)
    for place, gradient in enumerate(tape.gradient(value, inputs)):
        numeric = np.zeros(inputs[place].shape)
        for at in np.ndindex(*inputs[place].shape):
            ends = []
            for step in (1e-2, -1e-2):
                moved = [x.numpy() for x in inputs]
                moved[place][at] += step
                out = function(*map(tf.constant, moved))
                ends.append(float(tf.reduce_sum(out * pull)))
            numeric[at] = (ends[0] - ends[1]) / 2e-2
        np.testing.assert_allclose(gradient, numeric, atol=5e-3)


def test_dropout_depends_on_the_seed_alone(bert, make_batch) -> None:
    weights = {n: tf.constant(v) for n, v in fuse(bert, random_tensors(bert, seed=1)).items()}
    side = make_batch(6).sides[0]
    regular = Regular(dropout=0.3)

    def at(seed: int) -> np.ndarray:
        return bert_forward(
            bert, weights, *side, seed=tf.constant([7, seed]), regular=regular
        ).numpy()

    np.testing.assert_array_equal(at(1), at(1))
    assert np.abs(at(1) - at(2)).max() > 1e-3


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near(bert, make_batch, precision: str) -> None:
    weights = {n: tf.constant(v) for n, v in fuse(bert, random_tensors(bert, seed=1)).items()}
    side = make_batch(6).sides[0]
    full = bert_forward(bert, weights, *side, seed=SEED)
    half = bert_forward(bert, weights, *side, seed=SEED, regular=Regular(precision=precision))
    assert half.dtype == tf.float32
    cosines = tf.reduce_sum(tf.math.l2_normalize(full, 1) * tf.math.l2_normalize(half, 1), 1)
    assert float(tf.reduce_min(cosines)) > 0.999
    assert np.abs(full - half).max() > 0  # the products were made in half precision
