"""The forward pass of BERT as a pure function of its weights, for training.

`dualtower_trainer.bert` builds the graph that is exported, where dropout, low-rank updates and half
precision have no place. This is the same network (a test holds both together) with all three, and
with dropout drawn from a seed that is passed in, so that a second pass can repeat the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

from dualtower_trainer.bert import MASK_BIAS
from dualtower_trainer.bert_config import ACTIVATIONS, BertConfig
from dualtower_trainer.finetune.operations import add_norm, bias_gelu

__all__ = ["Regular", "bert_forward"]


@dataclass(frozen=True)
class Regular:
    """What training adds to the forward pass.

    Attributes:
        dropout: on embeddings, attention shares and sublayers.
        lora_dropout: on what a low-rank update reads.
        lora_scale: alpha / rank.
        precision: dtype of matrix products; sums, softmax and LayerNorm stay float32.
    """

    dropout: float = 0.0
    lora_dropout: float = 0.0
    lora_scale: float = 1.0
    precision: str = "float32"


def bert_forward(
    config: BertConfig,
    weights: Mapping[str, tf.Tensor],
    ids: tf.Tensor,
    mask: tf.Tensor,
    *,
    seed: tf.Tensor,
    regular: Regular | None = None,
) -> tf.Tensor:
    """Mean of the last hidden states where mask is 1.

    Args:
        config: the sizes.
        weights: by the names of `layout`; a low-rank update of TARGET in layer i is a pair
            "layer_i/TARGET/down" [in, rank] and "layer_i/TARGET/up" [rank, out].
        ids: int32 [rows, tokens].
        mask: int32 [rows, tokens].
        seed: int32 [2]; the same seed drops the same units.
        regular: dropout and precision; none of it by default.

    Returns:
        float32 [rows, hidden]; zeros for a row that is all padding.
    """
    once = _Pass(config, weights, seed, regular or Regular())
    rows, tokens = (size or tf.shape(ids)[axis] for axis, size in enumerate(ids.shape))
    present = tf.cast(mask, tf.float32)
    bias = tf.reshape((1.0 - present) * MASK_BIAS, [rows, 1, 1, tokens])
    x = once.embed(ids, rows, tokens)
    for index in range(config.num_hidden_layers):
        x = once.layer(x, bias, f"layer_{index}")
    states = tf.reshape(x, [rows, tokens, config.hidden_size])
    present = tf.expand_dims(present, -1)
    count = tf.maximum(tf.reduce_sum(present, axis=1), 1.0)
    return tf.reduce_sum(states * present, axis=1) / count


class _Pass:
    """What every sublayer of one pass needs, and how many dropouts it has drawn so far.

    Activations are float32 [rows * tokens, units]; only matrix products see `precision`.
    """

    def __init__(
        self,
        config: BertConfig,
        weights: Mapping[str, tf.Tensor],
        seed: tf.Tensor,
        regular: Regular,
    ) -> None:
        self._config, self._weights, self._regular = config, weights, regular
        self._dtype = tf.as_dtype(regular.precision)
        self._seed, self._drops = seed, 0

    def embed(self, ids: tf.Tensor, rows: int, tokens: int) -> tf.Tensor:
        words = tf.gather(self._weights["words"], tf.reshape(ids, [-1]))
        # a slice's gradient is a pad; a gather's would be sparse
        places = self._weights["positions"][:tokens] + self._weights["segments"][0]
        x = self._norm(words, tf.tile(places, [rows, 1]), "embedding_norm")
        return self._drop(x, self._regular.dropout)

    def layer(self, x: tf.Tensor, bias: tf.Tensor, name: str) -> tf.Tensor:
        mixed = self._attention(self._qkv(x, name), bias)
        attended = self._dense(mixed, name, "output")
        x = self._norm(self._drop(attended, self._regular.dropout), x, f"{name}/attention_norm")
        inner = self._matmul(x, self._weights[f"{name}/inner/kernel"])
        inner = self._gelu(self._updated(inner, x, name, "inner"), f"{name}/inner/bias")
        outer = self._dense(inner, name, "outer")
        return self._norm(self._drop(outer, self._regular.dropout), x, f"{name}/norm")

    def _qkv(self, x: tf.Tensor, name: str) -> tf.Tensor:
        fused = self._matmul(x, self._weights[f"{name}/qkv/kernel"])
        updates = [self._update(x, name, part) for part in ("query", "key", "value")]
        if any(update is not None for update in updates):
            none = tf.zeros_like(x)
            fused += tf.concat([none if update is None else update for update in updates], axis=1)
        return tf.nn.bias_add(fused, self._weights[f"{name}/qkv/bias"])

    def _attention(self, fused: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """softmax(q kᵀ / sqrt(head) + bias) v; fused [rows * tokens, 3 * hidden]."""
        heads, size, tokens = (
            self._config.num_attention_heads,
            self._config.head_size,
            bias.shape[3],
        )
        tokens = tokens or tf.shape(bias)[3]
        wide = tf.reshape(fused, [-1, tokens, 3, heads, size])
        q, k, v = tf.unstack(tf.transpose(wide, [2, 0, 3, 1, 4]))
        scores = self._matmul(q * size**-0.5, k, transpose_b=True) + bias
        shares = self._drop(tf.nn.softmax(scores), self._regular.dropout)
        mixed = self._matmul(shares, v)  # [rows, heads, tokens, size]
        return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, heads * size])

    def _dense(self, x: tf.Tensor, name: str, target: str) -> tf.Tensor:
        product = self._matmul(x, self._weights[f"{name}/{target}/kernel"])
        product = self._updated(product, x, name, target)
        return tf.nn.bias_add(product, self._weights[f"{name}/{target}/bias"])

    def _updated(self, product: tf.Tensor, x: tf.Tensor, name: str, target: str) -> tf.Tensor:
        update = self._update(x, name, target)
        return product if update is None else product + update

    def _update(self, x: tf.Tensor, name: str, target: str) -> tf.Tensor | None:
        """The low-rank update of `target`, or None where it has none."""
        down = self._weights.get(f"{name}/{target}/down")
        if down is None:
            return None
        read = self._drop(x, self._regular.lora_dropout)
        narrow = self._matmul(read, down) * self._regular.lora_scale
        return self._matmul(narrow, self._weights[f"{name}/{target}/up"])

    def _gelu(self, x: tf.Tensor, bias: str) -> tf.Tensor:
        if ACTIVATIONS[self._config.hidden_act]:
            return tf.nn.gelu(tf.nn.bias_add(x, self._weights[bias]), approximate=True)
        return bias_gelu(x, self._weights[bias])

    def _norm(self, x: tf.Tensor, residual: tf.Tensor, name: str) -> tf.Tensor:
        gamma, beta = self._weights[f"{name}/gamma"], self._weights[f"{name}/beta"]
        return add_norm(x, residual, gamma, beta, self._config.layer_norm_eps)

    def _matmul(self, a: tf.Tensor, b: tf.Tensor, *, transpose_b: bool = False) -> tf.Tensor:
        product = tf.matmul(
            tf.cast(a, self._dtype), tf.cast(b, self._dtype), transpose_b=transpose_b
        )
        return tf.cast(product, tf.float32)

    def _drop(self, x: tf.Tensor, rate: float) -> tf.Tensor:
        if not rate:
            return x
        self._drops += 1
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._drops)
        return tf.nn.experimental.stateless_dropout(x, rate, seed, rng_alg="philox")
