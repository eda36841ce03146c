"""BERT whose products, attention and GELU are 8-bit; sums and LayerNorm stay float.

Where MiniLM's digits are lost, part by part, is in export/README.md: between the products, not in
them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from dualtower_export.int8_ops import Int8Ops, int8_rows
from dualtower_export.int8_ranges import Affine
from dualtower_trainer.bert_config import ACTIVATIONS, BertConfig
from dualtower_trainer.bert_layers import sizes_of
from dualtower_trainer.bert_weights import canonical_tensors

__all__ = ["Int8Bert"]

# What a pad adds to a score. Softmax makes e⁻³⁰ of it, and a larger number would take the score's
# digits: the step is shared.
_MASK_BIAS = -30.0


class Int8Bert:
    """The encoder of `bert.build_bert`, as a function.

    Args:
        config: the sizes.
        tensors: weights by their Hugging Face names.
    """

    def __init__(self, config: BertConfig, tensors: Mapping[str, np.ndarray]) -> None:
        self._config, self._tensors = config, canonical_tensors(config, tensors)

    def __call__(self, ops: Int8Ops, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Pooled states float32 [batch, hidden] of int32 [batch, tokens]."""
        batch, tokens = sizes_of(ids)
        present = tf.cast(mask, tf.float32)
        words = int8_rows(self._of("embeddings.word_embeddings"), tf.reshape(ids, [-1]))
        places = self._of("embeddings.position_embeddings")
        places = places + self._of("embeddings.token_type_embeddings")[0]
        x = tf.reshape(words, [batch, tokens, -1]) + tf.constant(places)[:tokens]
        x = self._norm("embeddings.LayerNorm", tf.reshape(x, [batch * tokens, -1]))
        absent = tf.reshape((1.0 - present) * _MASK_BIAS, [batch, 1, 1, tokens])
        bias = ops.point("mask", absent)
        for layer in range(self._config.num_hidden_layers):
            x = self._layer(ops, layer, x, bias, tokens)
        states = tf.reshape(x, [batch, tokens, -1])
        total = tf.reduce_sum(states * tf.expand_dims(present, -1), axis=1)
        return total / tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)

    def _layer(
        self, ops: Int8Ops, layer: int, x: tf.Tensor, bias: tf.Tensor, tokens: int | tf.Tensor
    ) -> tf.Tensor:
        ours, theirs = f"layer_{layer}", f"encoder.layer.{layer}"
        attended = self._attention(ops, ours, f"{theirs}.attention", x, bias, tokens)
        x = self._norm(f"{theirs}.attention.output.LayerNorm", x + attended)
        return self._norm(f"{theirs}.output.LayerNorm", x + self._neurons(ops, ours, theirs, x))

    def _attention(
        self,
        ops: Int8Ops,
        ours: str,
        theirs: str,
        x: tf.Tensor,
        bias: tf.Tensor,
        tokens: int | tf.Tensor,
    ) -> tf.Tensor:
        heads, size = self._config.num_attention_heads, self._config.head_size
        parts = [f"{theirs}.self.{part}" for part in ("query", "key", "value")]
        # the scale of the scores goes into the queries
        factors = np.repeat(np.array([size**-0.5, 1, 1], np.float32), heads * size)
        fused = Affine(
            np.concatenate([self._of(part).T for part in parts], axis=1) * factors,
            np.concatenate([self._of(part, "bias") for part in parts]) * factors,
        )
        projected = ops.dense(f"{ours}.qkv", x, fused, int8_output=True)
        wide = tf.reshape(projected, [-1, tokens, 3 * heads, size])
        q, k, v = tf.split(tf.transpose(wide, [0, 2, 1, 3]), 3, axis=1)
        scores = ops.point(f"{ours}.scores", tf.matmul(q, k, transpose_b=True))
        shares = ops.shares(tf.nn.softmax(ops.point(f"{ours}.masked", scores + bias)))
        mixed = ops.point(f"{ours}.mixed", tf.matmul(shares, v))
        flat = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, heads * size])
        out = self._affine(f"{theirs}.output.dense")
        return ops.dense(f"{ours}.attention_out", flat, out, rounded_input=True)

    def _neurons(self, ops: Int8Ops, ours: str, theirs: str, x: tf.Tensor) -> tf.Tensor:
        return ops.neurons(
            ours, x, self._affine(f"{theirs}.intermediate.dense"), self._gelu,
            self._affine(f"{theirs}.output.dense"),
        )  # fmt: skip

    def _gelu(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.gelu(x, approximate=ACTIVATIONS[self._config.hidden_act])

    def _affine(self, name: str) -> Affine:
        return Affine(self._of(name).T, self._of(name, "bias"))

    def _norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
        unit = centred * tf.math.rsqrt(variance + self._config.layer_norm_eps)
        return unit * tf.constant(self._of(name)) + tf.constant(self._of(name, "bias"))

    def _of(self, name: str, part: str = "weight") -> np.ndarray:
        return np.asarray(self._tensors[f"{name}.{part}"], np.float32)
