"""Counts graphs that are known by formula, and has TensorFlow's profiler count the same.

    python roofline_graphs.py FOLDER > counts.json

A program of its own, so that TensorFlow stays out of the process that tests.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from dualtower_benchmarks.roofline.traced_run import SavedGraph

LAYERS, HIDDEN, INNER, HEADS, VOCABULARY = 2, 384, 1536, 12, 100
BATCH, TOKENS = 2, 24


class Bert(tf.Module):
    """A textbook's BERT encoder over [batch, tokens], weights as variables."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(0)

        def matrix(*shape: int) -> tf.Variable:
            return tf.Variable(random.normal(0, 0.02, shape).astype(np.float32))

        self.words = matrix(VOCABULARY, HIDDEN)
        self.layers = [
            [
                *(matrix(HIDDEN, HIDDEN) for _ in range(4)),
                matrix(HIDDEN, INNER),
                matrix(INNER, HIDDEN),
                *(matrix(HIDDEN) for _ in range(9)),
                matrix(INNER),
            ]
            for _ in range(LAYERS)
        ]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, "ids")], autograph=False)
    def encode(self, ids: tf.Tensor) -> dict[str, tf.Tensor]:
        batch, tokens, size = tf.shape(ids)[0], tf.shape(ids)[1], HIDDEN // HEADS
        x = tf.reshape(tf.gather(self.words, ids), [-1, HIDDEN])
        for wq, wk, wv, wo, w1, w2, bq, bk, bv, bo, b2, g1, c1, g2, c2, b1 in self.layers:

            def heads(weight: tf.Variable, bias: tf.Variable, x: tf.Tensor = x) -> tf.Tensor:
                wide = tf.reshape(tf.matmul(x, weight) + bias, [batch, tokens, HEADS, size])
                return tf.transpose(wide, [0, 2, 1, 3])

            q, k, v = heads(wq, bq), heads(wk, bk), heads(wv, bv)
            mixed = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * size**-0.5), v)
            mixed = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, HIDDEN])
            x = norm(x + tf.matmul(mixed, wo) + bo, g1, c1)
            inner = tf.nn.gelu(tf.matmul(x, w1) + b1)
            x = norm(x + tf.matmul(inner, w2) + b2, g2, c2)
        return {"pooled": tf.reduce_mean(tf.reshape(x, [batch, tokens, HIDDEN]), axis=1)}


def norm(x: tf.Tensor, gamma: tf.Variable, beta: tf.Variable) -> tf.Tensor:
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    return centred * tf.math.rsqrt(variance + 1e-12) * gamma + beta


class Function(tf.Module):
    """Any function of x as a SavedModel."""

    def __init__(self, function: Callable[..., tf.Tensor], shape: list[int | None]) -> None:
        super().__init__()
        spec = tf.TensorSpec(shape, tf.float32, "x")
        self.run = tf.function(
            lambda x: {"y": function(x)}, input_signature=[spec], autograph=False
        )


def hand(x: tf.Tensor) -> tf.Tensor:
    """[n, 8] by a constant [8, 3], then relu: counted by hand in the test."""
    return tf.nn.relu(tf.matmul(x, tf.constant(np.ones((8, 3), np.float32))))


def small(x: tf.Tensor) -> tf.Tensor:
    """Ops that the profiler knows: convolutions, products, softmax, reductions."""
    image = tf.reshape(x, [2, 8, 8, 3])
    found = tf.nn.conv2d(image, tf.ones([3, 3, 3, 5]), strides=1, padding="SAME")
    found = tf.nn.depthwise_conv2d(found, tf.ones([3, 3, 5, 1]), [1, 1, 1, 1], padding="VALID")
    rows = tf.nn.bias_add(tf.reshape(found, [2, 180]) @ tf.ones([180, 7]), tf.ones([7]))
    rows = tf.nn.softmax(rows) * tf.math.rsqrt(tf.reduce_mean(rows, 1, keepdims=True) + 2.0)
    pairs = tf.matmul(rows[:, :, tf.newaxis], rows[:, tf.newaxis, :])
    return tf.reduce_sum(tf.maximum(pairs, 0.0) - tf.square(pairs), axis=[1, 2])


def branching(x: tf.Tensor) -> tf.Tensor:
    """Rows that are not zero alone go through the product; few rows choose another branch."""
    rows = tf.boolean_mask(x, tf.reduce_any(x > 0, axis=1))
    return tf.cond(
        tf.shape(rows)[0] > 4,
        lambda: tf.matmul(rows, tf.ones([16, 16])),
        lambda: tf.matmul(rows, tf.ones([16, 2])) @ tf.ones([2, 16]),
    )


def looping(x: tf.Tensor) -> tf.Tensor:
    """Three products in a loop."""
    return tf.while_loop(
        lambda step, _: step < 3,
        lambda step, y: (step + 1, tf.matmul(y, tf.eye(4))),
        [tf.constant(0), x],
    )[1]


def contracted(x: tf.Tensor) -> tf.Tensor:
    return tf.einsum("bth,hnd->bntd", x, tf.ones([6, 2, 3]))


def counted(module: tf.Module, function: Any, folder: Path, feeds: dict[str, Any]) -> Any:
    tf.saved_model.save(module, str(folder), signatures=function)
    return SavedGraph(folder).count(feeds).as_json()


def profiled(function: Any, *specs: tf.TensorSpec) -> int:
    """float_operation of TensorFlow's own profiler, on a frozen graph with known shapes."""
    frozen = convert_variables_to_constants_v2(
        tf.function(function, autograph=False).get_concrete_function(*specs),
        lower_control_flow=False,
    )
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(frozen.graph, options=options).total_float_ops


def main() -> None:
    folder = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the profiler prints
    ones = np.ones
    bert = Bert()
    ids = np.random.default_rng(1).integers(0, VOCABULARY, (BATCH, TOKENS)).astype(np.int32)
    found: dict[str, Any] = {
        "bert": counted(bert, bert.encode, folder / "bert", {"ids": ids}),
        "bert_profiler": profiled(bert.encode, tf.TensorSpec([BATCH, TOKENS], tf.int32)),
        "small_profiler": profiled(small, tf.TensorSpec([2, 192], tf.float32)),
    }
    few = ones((10, 16), np.float32)
    few[3:] = 0
    for name, function, shape, feed in (
        ("hand", hand, [None, 8], ones((5, 8), np.float32)),
        ("small", small, [2, 192], ones((2, 192), np.float32)),
        ("many_rows", branching, [None, 16], ones((10, 16), np.float32)),
        ("few_rows", branching, [None, 16], few),
        ("looping", looping, [None, 4], ones((5, 4), np.float32)),
        ("contracted", contracted, [None, None, 6], ones((2, 5, 6), np.float32)),
    ):
        module = Function(function, shape)
        found[name] = counted(module, module.run, folder / name, {"x": feed})
    answers.write(json.dumps(found))
    answers.close()


if __name__ == "__main__":
    main()
