"""Operations by formula against TensorFlow's own count of the graph."""

from __future__ import annotations

import dataclasses

import pytest
import tensorflow as tf

from dualtower_trainer.finetune.flops import forward_flops, training_flops
from dualtower_trainer.finetune.gradcache import direct_gradients
from dualtower_trainer.finetune.plan import make_plan, matmul_flops_per_s
from dualtower_trainer.finetune.tunable import Tunable

ROWS, TOKENS = 6, 8


def counted(graph: tf.Graph) -> int:
    """Of the matrix products; the profiler knows MatMul and BatchMatMulV2 by their shapes."""
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options = {**options, "output": "none"}
    profile = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    found = {}
    waiting = list(profile.children)
    while waiting:
        node = waiting.pop()
        found[node.name] = node.float_ops
        waiting += node.children
    return found.get("MatMul", 0) + found.get("BatchMatMulV2", 0)


def graph_of(encoder, settings, *, backward: bool) -> tf.Graph:
    tunable = Tunable(encoder.config, encoder.tensors, settings)
    weights = [entry.variable for entry in tunable.parameters]
    spec = tf.TensorSpec([ROWS // 2, TOKENS], tf.int32)
    seed = tf.constant([0, 0])

    def step(left, left_mask, right, right_mask):
        def loss(vectors):
            return tf.reduce_sum(vectors[0]) + tf.reduce_sum(vectors[1])

        if not backward:
            ids = tf.concat([left, right], 0)
            return tunable.encode(ids, tf.concat([left_mask, right_mask], 0), seed)
        sides = [(left, left_mask), (right, right_mask)]
        return direct_gradients(tunable.encode, loss, sides, weights, seed=seed)

    function = tf.function(step, autograph=False).get_concrete_function(spec, spec, spec, spec)
    return function.graph


def test_forward(encoder, settings) -> None:
    graph = graph_of(encoder, settings, backward=False)
    assert forward_flops(encoder.config, ROWS, TOKENS) == counted(graph)


@pytest.mark.parametrize("mode", ["full", "top", "bitfit", "lora"])
def test_training(encoder, settings, mode: str) -> None:
    settings = dataclasses.replace(settings, mode=mode, top_layers=1)
    graph = graph_of(encoder, settings, backward=True)
    formula = training_flops(encoder.config, settings, ROWS, TOKENS)
    assert formula == counted(graph)


def test_gradcache_costs_one_more_forward_pass(encoder, settings) -> None:
    plain = training_flops(encoder.config, settings, 16, TOKENS)
    cached = training_flops(
        encoder.config, dataclasses.replace(settings, chunk_pairs=4), 16, TOKENS
    )
    assert cached - plain == forward_flops(encoder.config, 16, TOKENS)


def test_the_plan_adds_up(encoder, settings) -> None:
    settings = dataclasses.replace(settings, accumulate=3)
    plan = make_plan(encoder.config, settings, tokens=8, flops_per_s=1e9)
    assert plan.flops_per_step == 3 * training_flops(encoder.config, settings, 16, 8)
    assert plan.total_s == pytest.approx(plan.step_s * settings.steps)
    chunked = dataclasses.replace(settings, chunk_pairs=2)
    assert make_plan(encoder.config, chunked, 8, 1e9).memory_bytes < plan.memory_bytes
    assert matmul_flops_per_s(size=64, repeats=2) > 1e6
