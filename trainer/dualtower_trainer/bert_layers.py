"""The layers of the BERT: small, each with a config, so that tfmot can clone and annotate them.

Activations travel as [batch * tokens, hidden]: one 2-D matrix product per Dense is what oneDNN
fuses with its bias and GELU on a server, and what XNNPACK takes whole on a phone.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

__all__ = [
    "AttentionCore",
    "AttentionMask",
    "Gelu",
    "MaskedMean",
    "PlainLayerNorm",
    "PositionEmbedding",
    "TokenEmbedding",
    "embedding_lookup",
    "sizes_of",
]


@tf.function(experimental_implements="embedding_matmul", autograph=False)
def embedding_lookup(table: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """Rows [n, hidden] of `table` for int32 `ids` [n].

    The TFLite converter turns a function of this name and these two arguments into
    EMBEDDING_LOOKUP, which its quantisers know; a plain gather stays float and keeps the table big.
    """
    return tf.gather(table, ids)


class TokenEmbedding(tf_keras.layers.Layer):
    """int32 ids [batch, tokens] -> [batch, tokens, hidden]."""

    def __init__(self, vocab_size: int, hidden: int, name: str | None = None, **keras: Any) -> None:
        super().__init__(name=name, **keras)
        self.vocab_size, self.hidden = vocab_size, hidden

    def build(self, input_shape: tf.TensorShape) -> None:
        self.table = self.add_weight(
            name="table", shape=(self.vocab_size, self.hidden), initializer="zeros"
        )
        super().build(input_shape)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        rows = embedding_lookup(tf.convert_to_tensor(self.table), tf.reshape(ids, [-1]))
        return tf.reshape(rows, [*sizes_of(ids), self.hidden])

    def get_config(self) -> dict[str, Any]:
        sizes = {"vocab_size": self.vocab_size, "hidden": self.hidden}
        return {**super().get_config(), **sizes}


class PositionEmbedding(tf_keras.layers.Layer):
    """Word rows [batch, tokens, hidden] plus position and segment 0: [batch * tokens, hidden]."""

    def __init__(
        self, positions: int, segments: int, hidden: int, name: str | None = None, **keras: Any
    ) -> None:
        super().__init__(name=name, **keras)
        self.positions, self.segments, self.hidden = positions, segments, hidden

    def build(self, input_shape: tf.TensorShape) -> None:
        self.position_table = self.add_weight(
            name="position_table", shape=(self.positions, self.hidden), initializer="zeros"
        )
        self.segment_table = self.add_weight(
            name="segment_table", shape=(self.segments, self.hidden), initializer="zeros"
        )
        super().build(input_shape)

    def call(self, words: tf.Tensor) -> tf.Tensor:
        rows = self.position_table[: sizes_of(words)[1]] + self.segment_table[0]
        return tf.reshape(words + tf.expand_dims(rows, 0), [-1, self.hidden])

    def get_config(self) -> dict[str, Any]:
        sizes = {"positions": self.positions, "segments": self.segments, "hidden": self.hidden}
        return {**super().get_config(), **sizes}


class PlainLayerNorm(tf_keras.layers.Layer):
    """LayerNorm over the last axis, from means and products alone.

    Keras' own uses SQUARED_DIFFERENCE, at which 16-bit TFLite quantisation stops.
    """

    def __init__(self, epsilon: float, name: str | None = None, **keras: Any) -> None:
        super().__init__(name=name, **keras)
        self.epsilon = epsilon

    def build(self, input_shape: tf.TensorShape) -> None:
        size = int(input_shape[-1])
        self.gamma = self.add_weight(name="gamma", shape=(size,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(size,), initializer="zeros")
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
        return centred * tf.math.rsqrt(variance + self.epsilon) * self.gamma + self.beta

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


class AttentionMask(tf_keras.layers.Layer):
    """int32 mask [batch, tokens] -> what is added to scores, float32 [batch, 1, 1, tokens]."""

    def __init__(self, bias: float, name: str | None = None, **keras: Any) -> None:
        super().__init__(name=name, **keras)
        self.bias = bias

    def call(self, mask: tf.Tensor) -> tf.Tensor:
        absent = (1.0 - tf.cast(mask, tf.float32)) * self.bias
        return tf.expand_dims(tf.expand_dims(absent, 1), 1)  # slicing with None needs Flex

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bias": self.bias}


class AttentionCore(tf_keras.layers.Layer):
    """softmax(q kᵀ / sqrt(head) + mask) v for all heads at once.

    Takes the fused projection [batch * tokens, 3 * hidden] and the mask [batch, 1, 1, tokens];
    returns [batch * tokens, hidden]. One transpose serves q, k and v.
    """

    def __init__(self, heads: int, head_size: int, name: str | None = None, **keras: Any) -> None:
        super().__init__(name=name, **keras)
        self.heads, self.head_size = heads, head_size

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        projected, mask = inputs
        tokens = sizes_of(mask)[3]
        wide = tf.reshape(projected, [-1, tokens, 3 * self.heads, self.head_size])
        # not an unstack: XNNPACK does not take UNPACK, and the graph would fall into seven parts
        q, k, v = tf.split(tf.transpose(wide, [0, 2, 1, 3]), 3, axis=1)
        scores = tf.matmul(q, k, transpose_b=True) * self.head_size**-0.5 + mask
        mixed = tf.matmul(tf.nn.softmax(scores), v)  # [batch, heads, tokens, head_size]
        return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, self.heads * self.head_size])

    def get_config(self) -> dict[str, Any]:
        sizes = {"heads": self.heads, "head_size": self.head_size}
        return {**super().get_config(), **sizes}


class Gelu(tf_keras.layers.Layer):
    """GELU, by the error function or its tanh approximation."""

    def __init__(self, approximate: bool, name: str | None = None, **keras: Any) -> None:
        super().__init__(name=name, **keras)
        self.approximate = approximate

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.gelu(x, approximate=self.approximate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "approximate": self.approximate}


class MaskedMean(tf_keras.layers.Layer):
    """Mean of [batch * tokens, hidden] over the tokens of a mask [batch, tokens]: [batch, hidden].

    A row without any token gives zeros.
    """

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        flat, mask = inputs
        weights = tf.expand_dims(tf.cast(mask, tf.float32), -1)
        states = tf.reshape(flat, [*sizes_of(mask), flat.shape[-1]])
        count = tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
        return tf.reduce_sum(states * weights, axis=1) / count


def sizes_of(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The static size of each axis where known, so that a static model holds no SHAPE op."""
    return [size if size is not None else tf.shape(x)[axis] for axis, size in enumerate(x.shape)]
