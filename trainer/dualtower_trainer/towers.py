"""The two towers above the encoder, as functional tf_keras models.

    text ─BERT─► pooled ─► centre, unit ─► project ─┬─► L2 ─► item embedding
                                  gated id residual ┘              │
    history of item embeddings ─► per-item values ─► weighted pool ─► L2 ─► user embedding

The user tower reads the very vectors that the index holds, so one table serves both the lookup of a
history and the ranking of the catalogue, and nothing can drift between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

__all__ = ["TowerConfig", "build_item_head", "build_user_tower", "read_weights", "write_weights"]

_TEXT_SCALE = 2.5  # the text part starts about five times as long as the id residual
_LARGEST_LOGIT = 8.0


@dataclass(frozen=True)
class TowerConfig:
    """Section [model]: the shape of the towers.

    Attributes:
        dim: length of an embedding.
        history_items: most recent items of a person that the user tower reads.
        hidden_units: width of the two small networks of the user tower.
    """

    dim: int = 128
    history_items: int = 100
    hidden_units: int = 256

    def __post_init__(self) -> None:
        for name, low, high in (
            ("dim", 8, 1024), ("history_items", 1, 1000), ("hidden_units", 8, 8192),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {value}")


class _Centre(keras.layers.Layer):
    """Subtracts a stored mean: BERT vectors share a large common part that carries no meaning."""

    def build(self, input_shape: Any) -> None:
        self.mean = self.add_weight(
            "mean", (input_shape[-1],), initializer="zeros", trainable=False
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs - self.mean


class _Unit(keras.layers.Layer):
    """Scales each row to length 1; a row of zeros stays zeros."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        squares = tf.reduce_sum(inputs * inputs, axis=-1, keepdims=True)
        return inputs * tf.math.rsqrt(tf.maximum(squares, 1e-12))


class _HistoryPool(keras.layers.Layer):
    """Σ wᵢ yᵢ / √(1 + Σ wᵢ) + prior, with wᵢ = exp(a·vᵢ + position).

    Between a mean and a sum: the longer the history, the less the prior counts, and without any
    history the prior alone remains. `values` [batch, history, dim] are pooled by `items` of the
    same shape, where `mask` [batch, history] is 1.
    """

    def build(self, input_shape: Any) -> None:
        _, items, _ = input_shape
        self.attention = self.add_weight("attention", (items[-1], 1), initializer="zeros")
        self.position = self.add_weight("position", (items[-2],), initializer="zeros")
        self.prior = self.add_weight(
            "prior", (items[-1],), initializer=keras.initializers.RandomNormal(stddev=0.1, seed=7)
        )

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        values, items, mask = inputs
        logits = tf.squeeze(tf.matmul(items, self.attention), -1) + self.position
        weights = tf.exp(tf.clip_by_value(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)) * mask
        total = tf.squeeze(tf.matmul(tf.expand_dims(weights, 1), values), 1)
        return total * tf.math.rsqrt(1.0 + tf.reduce_sum(weights, 1, keepdims=True)) + self.prior


def build_item_head(config: TowerConfig, hidden: int) -> keras.Model:
    """Encoder output to item embedding.

    Returns:
        A model of `pooled` float32 [batch, hidden] and `id_vector` float32 [batch, dim] (zeros for
        an item that training never saw) to `embedding` float32 [batch, dim] of length 1.
    """
    pooled = keras.Input((hidden,), name="pooled")
    residual = keras.Input((config.dim,), name="id_vector")
    text = _Unit(name="text_unit")(_Centre(name="centre")(pooled))
    spread = keras.initializers.RandomNormal(stddev=_TEXT_SCALE / np.sqrt(config.dim), seed=11)
    projected = keras.layers.Dense(config.dim, kernel_initializer=spread, name="project")(text)
    embedding = _Unit(name="embedding")(keras.layers.Add(name="fuse")([projected, residual]))
    return keras.Model({"pooled": pooled, "id_vector": residual}, embedding, name="item_head")


def build_user_tower(config: TowerConfig) -> keras.Model:
    """History of item embeddings to user embedding.

    Returns:
        A model of `items` float32 [batch, history_items, dim], most recent first, and `mask`
        float32 [batch, history_items] to `embedding` float32 [batch, dim] of length 1. A mask of
        zeros gives the learned prior, never NaN.
    """
    shape = (config.history_items, config.dim)
    items = keras.Input(shape, name="items")
    mask = keras.Input((config.history_items,), name="mask")
    linear = keras.layers.Dense(
        config.dim, use_bias=False, kernel_initializer="identity", name="value_linear"
    )(items)
    bent = keras.layers.Dense(
        config.hidden_units, activation=_gelu, kernel_initializer=_lecun(21), name="value_hidden"
    )(items)
    bent = keras.layers.Dense(
        config.dim, use_bias=False, kernel_initializer=_lecun(22), name="value_out"
    )(bent)
    values = keras.layers.Add(name="values")([linear, bent])
    pooled = _HistoryPool(name="pool")((values, items, mask))
    correction = keras.layers.Dense(
        config.hidden_units, activation=_gelu, kernel_initializer=_lecun(23), name="person_hidden"
    )(pooled)
    correction = keras.layers.Dense(
        config.dim,
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02, seed=24),
        name="person_out",
    )(correction)
    embedding = _Unit(name="embedding")(keras.layers.Add(name="person")([pooled, correction]))
    return keras.Model({"items": items, "mask": mask}, embedding, name="user_tower")


def read_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Weights by name, `layer/weight`, without the model's own prefix."""
    return {weight.name.partition(":")[0]: weight.numpy() for weight in model.weights}


def write_weights(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Sets every weight of `model`.

    Raises:
        ValueError: a weight is missing, too much, or of another shape.
    """
    names = [weight.name.partition(":")[0] for weight in model.weights]
    if set(names) != set(tensors):
        missing, extra = set(names) - set(tensors), set(tensors) - set(names)
        raise ValueError(
            f"weights of {model.name} do not fit: missing {sorted(missing)}, extra {sorted(extra)}"
        )
    for name, weight in zip(names, model.weights, strict=True):
        if tuple(weight.shape) != tensors[name].shape:
            raise ValueError(
                f"{model.name} {name} is {tensors[name].shape}, expected {tuple(weight.shape)}"
            )
        weight.assign(tensors[name])


def _gelu(inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(inputs, approximate=False)


def _lecun(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.LecunNormal(seed=seed)
