"""The encoder as a server runs it: the one place where BERT gets the form that a CPU likes.

    ids, mask ─► embeddings ─► few tokens?  yes: the layers over all places, pads among them ─┐
                                            no:  the layers over the real tokens alone        │
                                                            masked mean ◄─────────────────────┘

The weights are the encoder's own, by their Hugging Face names: whatever made them (a folder,
training, LoRA merged into the matrices) is served in this form, while training, tfmot and TFLite
keep the Keras model of `dualtower_trainer.bert`. What makes it fast, each measured by
`dualtower bench graph`:

- hidden states are [tokens, hidden]: a bias, and GELU or the residual sum, directly behind a 2-D
  MatMul are fused with it by TensorFlow's remapper; three dimensions are not;
- weights are constants, which oneDNN packs once;
- one product and one transpose for q, k and v, whose scale is in the weights;
- few tokens and many have constants of their own (see `ServingForm.copies`);
- a layer falls into shards that two threads run side by side (see `ServingForm.shards`);
- pads are left out. Only attention needs the rectangle [batch, tokens]; everything else, nine
  tenths of the work, runs over the real tokens, as in "Effective Transformer"
  (https://github.com/bytedance/effective_transformer). A gather before and one behind the attention
  cost 2 % where there are no pads. Few tokens have few pads, so there they are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from dualtower.errors import UsageError
from dualtower_export.serving_form import FEW_TOKENS, ServingForm
from dualtower_export.serving_weights import (
    EmbeddingWeights,
    LayerJoint,
    LayerShard,
    embedding_weights,
    joint_of,
    layer_weights,
    shard_count,
    shards_of,
)
from dualtower_trainer.bert import MASK_BIAS
from dualtower_trainer.bert_config import ACTIVATIONS, BertConfig

__all__ = ["ServingBert"]

# the real tokens are filled up to a multiple of this, so that matrix products come in few shapes
_TOKEN_STEP = 16
_LARGEST_GRAPH_BYTES = 2**31 - 2**27  # protocol buffers end at 2 GiB

_Rows = Callable[[tf.Tensor], tf.Tensor]
_Weights = TypeVar("_Weights", EmbeddingWeights, LayerJoint, LayerShard)
_Layer = tuple[LayerJoint, list[LayerShard]]


class ServingBert:
    """`[ids, mask]`, int32 [batch, tokens], to the masked mean of the states, [batch, hidden].

    Called like the Keras encoder, and equal to it up to rounding; a row without any token gives
    zeros.

    Args:
        config: the sizes.
        tensors: float32 weights under Hugging Face names.
        form: how it is written.

    Raises:
        UsageError: the constants are too large for a SavedModel's graph.

    Example:
        bert = ServingBert(encoder.config, encoder.tensors, ServingForm())
        pooled = bert([ids, mask])
    """

    def __init__(
        self, config: BertConfig, tensors: Mapping[str, np.ndarray], form: ServingForm
    ) -> None:
        self._config, self._form = config, form
        self._dtype = tf.dtypes.as_dtype(form.dtype)
        if form.constants:
            self._check_size(tensors)
        self._embedding = self._prepared(embedding_weights(tensors))
        self._shards = shard_count(config, form.shards)
        self._layers = [
            self._prepared_layer(tensors, index) for index in range(config.num_hidden_layers)
        ]

    @property
    def variables(self) -> list[tf.Variable]:
        """What a SavedModel must hold beside the graph; empty where the weights are constants."""
        parts: list[EmbeddingWeights | LayerJoint | LayerShard] = [self._embedding]
        for joint, shards in self._layers:
            parts += [joint, *shards]
        held = [value for part in parts for value in vars(part).values()]
        return [value for value in held if isinstance(value, tf.Variable)]

    def __call__(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        ids, mask = inputs
        states = self._embedded(ids)
        bias = tf.cast(1 - mask, self._dtype)[:, tf.newaxis, tf.newaxis, :] * MASK_BIAS
        if self._form.constants and self._form.copies == 1:
            states = self._real_tokens(states, bias, mask)
        else:
            states = tf.cond(
                tf.size(ids) <= FEW_TOKENS,
                lambda: self._run(states, bias, tf.identity, tf.identity),
                lambda: self._real_tokens(states, bias, mask),
            )
        return _masked_mean(states, _wide(mask))

    def _embedded(self, ids: tf.Tensor) -> tf.Tensor:
        """The first hidden states [batch * tokens, hidden]."""
        weights = self._embedding
        rows = _wide(tf.gather(_tensor(weights.words), ids))
        rows += _wide(_tensor(weights.places)[: tf.shape(ids)[1]])
        flat = tf.reshape(rows, [-1, self._config.hidden_size])
        return self._norm(flat, weights.gamma, weights.beta)

    def _real_tokens(self, states: tf.Tensor, bias: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The layers over the real tokens; where a pad was, some other token's state comes back.

        The first place of each row always counts as real, so that there is something to gather.
        """
        first = tf.range(tf.shape(mask)[1]) == 0
        real = tf.reshape((mask > 0) | first, [-1])
        place = tf.where(real)[:, 0]
        place = tf.pad(place, [[0, -tf.size(place) % _TOKEN_STEP]])
        slot = tf.maximum(tf.cumsum(tf.cast(real, tf.int32)) - 1, 0)
        packed = self._run(
            tf.gather(states, place),
            bias,
            lambda rows: tf.gather(rows, slot),
            lambda rows: tf.gather(rows, place),
        )
        return tf.gather(packed, slot)

    def _run(self, states: tf.Tensor, bias: tf.Tensor, spread: _Rows, collect: _Rows) -> tf.Tensor:
        """All layers over states [rows, hidden].

        Args:
            states: hidden states.
            bias: what a pad adds to attention scores, [batch, 1, 1, tokens].
            spread: [rows, any] -> [batch * tokens, any].
            collect: the way back.
        """
        for layer in self._layers:
            states = self._layer(layer, states, bias, spread, collect)
        return states

    def _layer(
        self,
        layer: _Layer,
        states: tf.Tensor,
        bias: tf.Tensor,
        spread: _Rows,
        collect: _Rows,
    ) -> tf.Tensor:
        joint, shards = layer
        mixed = [
            self._product(
                collect(
                    self._attention(spread(self._dense(states, shard.qkv, shard.qkv_bias)), bias)
                ),
                shard.mix,
            )
            for shard in shards
        ]
        states = self._norm(
            self._sum(mixed, joint.mix_bias, states), joint.mix_gamma, joint.mix_beta
        )
        outer = [self._product(self._neurons(states, shard), shard.outer) for shard in shards]
        return self._norm(self._sum(outer, joint.outer_bias, states), joint.gamma, joint.beta)

    def _neurons(self, states: tf.Tensor, shard: LayerShard) -> tf.Tensor:
        inner = self._dense(states, shard.inner, shard.inner_bias)
        return tf.nn.gelu(inner, approximate=ACTIVATIONS[self._config.hidden_act])

    def _sum(
        self, products: list[tf.Tensor], bias: np.ndarray | tf.Variable, states: tf.Tensor
    ) -> tf.Tensor:
        """Products of all shards, bias and states; the last two become a part of the first."""
        total = _wide(tf.nn.bias_add(products[0], _tensor(bias))) + states
        for product in products[1:]:
            total += _wide(product)
        return total

    def _attention(self, projected: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """[batch * tokens, 3 * width] -> [batch * tokens, width], the heads of one shard."""
        heads, size = self._config.num_attention_heads // self._shards, self._config.head_size
        batch, tokens = tf.shape(bias)[0], tf.shape(bias)[3]
        wide = tf.reshape(projected, tf.stack([batch, tokens, 3, heads, size]))
        q, k, v = tf.unstack(tf.transpose(wide, [2, 0, 3, 1, 4]))  # [batch, heads, tokens, size]
        scores = tf.matmul(q, k, transpose_b=True) + bias
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3])
        return tf.reshape(mixed, tf.stack([batch * tokens, heads * size]))

    def _dense(self, states: tf.Tensor, matrix: np.ndarray, bias: np.ndarray) -> tf.Tensor:
        return tf.nn.bias_add(self._product(states, matrix), _tensor(bias))

    def _product(self, states: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
        return tf.matmul(tf.cast(states, self._dtype), _tensor(matrix))

    def _norm(self, states: tf.Tensor, gamma: np.ndarray, beta: np.ndarray) -> tf.Tensor:
        """LayerNorm, in float32 whatever the layers compute in."""
        centred = states - tf.reduce_mean(states, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
        unit = centred * tf.math.rsqrt(variance + self._config.layer_norm_eps)
        return unit * _wide(_tensor(gamma)) + _wide(_tensor(beta))

    def _prepared_layer(self, tensors: Mapping[str, np.ndarray], index: int) -> _Layer:
        weights = layer_weights(self._config, tensors, index)
        shards = [self._prepared(shard) for shard in shards_of(weights, self._shards)]
        return self._prepared(joint_of(weights)), shards

    def _prepared(self, weights: _Weights) -> _Weights:
        """The weights in the dtype of the layers, as arrays or as variables."""
        arrays = {
            name: array.astype(self._dtype.as_numpy_dtype) for name, array in vars(weights).items()
        }
        if self._form.constants:
            return dataclasses.replace(weights, **arrays)
        held = {name: tf.Variable(array, trainable=False) for name, array in arrays.items()}
        return dataclasses.replace(weights, **held)

    def _check_size(self, tensors: Mapping[str, np.ndarray]) -> None:
        numbers = sum(
            value.size * (self._form.copies if name.startswith("encoder.") else 1)
            for name, value in tensors.items()
        )
        size_bytes = numbers * self._dtype.size
        if size_bytes > _LARGEST_GRAPH_BYTES:
            raise UsageError(
                f"the encoder as constants takes {size_bytes / 1e9:.1f} GB (copies of the layers: "
                f"{self._form.copies}), and a SavedModel's graph holds 2; export with "
                "--set export.encoder_copies=1, or --set export.compute_dtype=bfloat16"
            )


def _tensor(weight: np.ndarray | tf.Variable) -> tf.Tensor:
    """A weight in the graph that is being traced: each branch has constants of its own.

    A graph spells out half precision number by number, in three bytes; as integers it takes two.
    """
    if isinstance(weight, np.ndarray) and weight.itemsize == 2:
        return tf.bitcast(tf.constant(weight.view(np.int16)), tf.dtypes.as_dtype(weight.dtype))
    return tf.convert_to_tensor(weight)


def _wide(x: tf.Tensor) -> tf.Tensor:
    """In float32: the states between the layers are, whatever the layers compute in."""
    return tf.cast(x, tf.float32)


def _masked_mean(states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """float32 [batch, hidden] of states [batch * tokens, hidden] and a mask [batch, tokens]."""
    shape = tf.concat([tf.shape(mask), [states.shape[-1]]], axis=0)
    total = tf.squeeze(tf.matmul(mask[:, tf.newaxis, :], tf.reshape(states, shape)), axis=1)
    return total / tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)
