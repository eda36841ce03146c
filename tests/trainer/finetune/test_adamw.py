"""The optimiser against AdamW written in numpy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.finetune.adamw import AdamW, clip_factor, global_norm
from dualtower_trainer.finetune.loss_scale import LossScale
from dualtower_trainer.finetune.tunable import Parameter

STRATEGY = tf.distribute.get_strategy()


def make(settings) -> AdamW:
    random = np.random.default_rng(0)
    parameters = [
        Parameter(name, tf.Variable(random.normal(0, 1, shape).astype(np.float32)), depth, decayed)
        for name, shape, depth, decayed in (
            ("a", (3, 4), 0, True),
            ("b", (4,), 1, False),
            ("c", (2, 2), 2, True),
        )
    ]
    return AdamW(parameters, settings, top=2)


def test_equals_numpy_with_layer_decay_and_mean(settings) -> None:
    settings = dataclasses.replace(settings, layer_decay=0.5, weight_decay=0.1, ema_decay=0.8)
    optimizer = make(settings)
    names, depths, decayed = ("a", "b", "c"), (0, 1, 2), (True, False, True)
    weights = {n: optimizer.variables()[f"weight/{n}"].numpy().astype(np.float64) for n in names}
    first, second, seen = (dict.fromkeys(names, 0.0) for _ in range(3))
    random = np.random.default_rng(1)
    for step in range(1, 6):
        gradients = [random.normal(0, 1, weights[n].shape) for n in names]
        rate = 0.1 / step
        for name, g, depth, decay in zip(names, gradients, depths, decayed, strict=True):
            scaled = rate * 0.5 ** (2 - depth)
            weights[name] = weights[name] * (1 - scaled * 0.1 * decay)
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g**2
            corrected = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            weights[name] = weights[name] - scaled * first[name] / (1 - 0.9**step) / corrected
            # the weighted mean of all weights so far, from its definition
            seen[name] = seen[name] + np.asarray(0.8 ** (5 - step) * weights[name])
        tensors = [tf.constant(g, tf.float32) for g in gradients]
        tf.function(optimizer.update, autograph=False)(STRATEGY, tensors, tf.constant(rate))
    total = sum(0.8 ** (5 - step) for step in range(1, 6))
    means = optimizer.values()
    for name in names:
        got = optimizer.variables()[f"weight/{name}"]
        np.testing.assert_allclose(got, weights[name], rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(means[name], seen[name] / total, rtol=2e-5, atol=1e-6)


def test_without_a_mean_the_last_weights_count(settings) -> None:
    optimizer = make(settings)
    optimizer.update(STRATEGY, [tf.ones([3, 4]), tf.ones([4]), tf.ones([2, 2])], tf.constant(0.1))
    for name, value in optimizer.values().items():
        np.testing.assert_array_equal(value, optimizer.variables()[f"weight/{name}"])


def test_clipping_is_by_the_length_of_all_together() -> None:
    gradients = [tf.constant([3.0]), tf.constant([[4.0]])]
    assert float(global_norm(gradients)) == pytest.approx(5.0)
    assert float(clip_factor(tf.constant(5.0), 1.0)) == pytest.approx(0.2)
    assert float(clip_factor(tf.constant(0.5), 1.0)) == 1.0
    assert float(clip_factor(tf.constant(0.0), 1.0)) == 1.0
    assert float(clip_factor(tf.constant(5.0), 0.0)) == 1.0


def test_the_loss_scale_halves_grows_and_has_bounds() -> None:
    scale = LossScale(dynamic=True, grow_after=3)

    def after(*finite: bool) -> float:
        for one in finite:
            scale.update(STRATEGY, tf.constant(one))
        return float(scale.scale.numpy())

    assert after(False) == 2.0**14
    assert after(True, True) == 2.0**14
    assert after(True) == 2.0**15
    assert after(True, True, False, True, True) == 2.0**14  # an overflow starts the count again
    assert after(*[False] * 40) == 1.0
    assert after(*[True] * 3 * 40) == 2.0**24


def test_without_loss_scale_it_stays_one() -> None:
    scale = LossScale(dynamic=False)
    scale.update(STRATEGY, tf.constant(False))
    assert float(scale.scale.numpy()) == 1.0
