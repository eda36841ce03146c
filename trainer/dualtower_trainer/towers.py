"""The two towers above the encoder, as functional tf_keras models.

    text ─BERT─► pooled ─► centre, unit ─► project ─┐
      └─piece ids─► wide bag ───────────────────────┼─ + ─► fit into the unit ball ─► embedding
    features ─► centre, unit ─► project_features ───┤                                   │
                          gated id residual ────────┘                                   │
    history of item embeddings ─► weighted pool ─► turn + prior ─► L2 ─► user embedding

`features`, vectors of another modality, are an input where the catalogue has any.

An embedding of `dim` numbers, of length 1, has three parts:

    [ taste: dim - 2 numbers | weight | rest ]

The *taste* is what the dot product compares, and its length says how strongly an item is
recommended at all: a trend, or the strength of an unseen item. The *weight* is the logarithm of how
much the item says about whoever took it, which only the user tower reads. The *rest* fills up to
length 1, so that a cosine ranks as the inner product does (the reduction of Bachrach et al. 2014,
https://doi.org/10.1145/2645710.2645741): every index, metric and gate may take vectors as unit
vectors. A user embedding has no weight and no rest: both are zero.

The user tower reads the very vectors that the index holds, so one table serves both the lookup of a
history and the ranking of the catalogue, and nothing can drift between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dualtower_trainer.tower_config import TowerConfig
from dualtower_trainer.wide_layer import WideBag

__all__ = [
    "WEIGHT_SCALE",
    "ItemShape",
    "TowerConfig",
    "build_item_head",
    "build_user_tower",
    "fit_into_ball",
    "read_weights",
    "shape_of",
    "write_weights",
]

WEIGHT_SCALE = 0.05  # the log weight is stored times this, so that it takes little of the length
_LARGEST_LOGIT = 8.0
_LARGEST_SQUARE = 0.999
_FITTING_SQUARE = 1e-3  # of a row that is short enough anyway; a phone's float16 has this number
_SMALLEST_SQUARE = 1e-12


@dataclass(frozen=True)
class ItemShape:
    """Sizes of an item head that the data decides.

    Attributes:
        hidden: width of the encoder's output.
        vocabulary_size: pieces of the tokeniser.
        pieces: pieces with a row in the wide part.
        pairs: neighbouring pairs with one.
        buckets: size of each hash table of pairs.
        features: numbers of a vector of another modality; 0 leaves the input out.
    """

    hidden: int
    vocabulary_size: int = 1
    pieces: int = 0
    pairs: int = 0
    buckets: int = 1
    features: int = 0


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
        # a phone's float16 has no 1e-12: without the 1, zeros would be divided by zero there
        none = tf.cast(tf.equal(squares, 0.0), squares.dtype)
        return inputs * tf.math.rsqrt(tf.maximum(squares, _SMALLEST_SQUARE) + none)


class _CentredIfAny(keras.layers.Layer):
    """`_Centre`, but a row of zeros, an item without a vector, stays that."""

    def build(self, input_shape: Any) -> None:
        self.mean = self.add_weight(
            "mean", (input_shape[-1],), initializer="zeros", trainable=False
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        present = tf.reduce_any(tf.not_equal(inputs, 0.0), axis=-1, keepdims=True)
        return (inputs - self.mean) * tf.cast(present, inputs.dtype)


class _FitIntoBall(keras.layers.Layer):
    """`fit_into_ball` as a layer."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        squares = tf.reduce_sum(inputs * inputs, axis=-1, keepdims=True)
        shrink = tf.minimum(
            1.0, tf.math.rsqrt(tf.maximum(squares, _FITTING_SQUARE) / _LARGEST_SQUARE)
        )
        rest = tf.sqrt(1.0 - tf.minimum(squares, _LARGEST_SQUARE))
        return tf.concat([inputs * shrink, rest], axis=-1)


class _TasteOnly(keras.layers.Layer):
    """Sets the last two numbers, weight and rest, to zero."""

    def build(self, input_shape: Any) -> None:
        keep = np.ones(int(input_shape[-1]), np.float32)
        keep[-2:] = 0
        self._keep = tf.constant(keep)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self._keep


class _HistoryPool(keras.layers.Layer):
    """Σ wᵢ vᵢ / √(1 + n), with wᵢ = exp(a·vᵢ + position).

    Between a mean and a sum: the longer the history, the less the prior counts that is added to it.
    `items` [batch, history, dim] count where `mask` [batch, history] is 1; n is how many do.
    """

    def __init__(self, places: int, name: str | None = None, **keras_options: Any) -> None:
        super().__init__(name=name, **keras_options)
        self.places = places

    def build(self, input_shape: Any) -> None:
        self.attention = self.add_weight("attention", (input_shape[0][-1], 1), initializer="zeros")
        self.position = self.add_weight("position", (self.places,), initializer="zeros")

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        items, mask = inputs
        length = items.shape[1] if items.shape[1] is not None else tf.shape(items)[1]
        logits = tf.squeeze(tf.matmul(items, self.attention), -1) + self.position[:length]
        weights = tf.exp(tf.clip_by_value(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)) * mask
        total = tf.squeeze(tf.matmul(tf.expand_dims(weights, 1), items), 1)
        return total * tf.math.rsqrt(1.0 + tf.reduce_sum(mask, 1, keepdims=True))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "places": self.places}


def fit_into_ball(parts: np.ndarray) -> np.ndarray:
    """Taste and weight float32 [n, dim - 1] to embeddings [n, dim] of length 1.

    The last number fills up to length 1; a row that is too long is shortened to √0.999.
    """
    squares = np.sum(np.square(parts, dtype=np.float32), axis=1, keepdims=True)
    shrink = np.minimum(1.0, np.sqrt(_LARGEST_SQUARE / np.maximum(squares, _FITTING_SQUARE)))
    rest = np.sqrt(1.0 - np.minimum(squares, _LARGEST_SQUARE))
    return np.concatenate([parts * shrink, rest], axis=1).astype(np.float32)


def build_item_head(config: TowerConfig, shape: ItemShape) -> keras.Model:
    """Encoder output to item embedding.

    Returns:
        A model of `pooled` float32 [batch, hidden], `ids` and `mask` int32 [batch, tokens] and
        `id_vector` float32 [batch, dim - 1] (zeros for an item that training never saw) to
        `embedding` float32 [batch, dim] of length 1. Where `shape` has features, also of `features`
        float32 [batch, shape.features] (zeros for an item without).
    """
    parts = config.dim - 1
    pooled = keras.Input((shape.hidden,), name="pooled")
    ids = keras.Input((None,), dtype=tf.int32, name="ids")
    mask = keras.Input((None,), dtype=tf.int32, name="mask")
    residual = keras.Input((parts,), name="id_vector")
    text = _Unit(name="text_unit")(_Centre(name="centre")(pooled))
    projected = keras.layers.Dense(parts, kernel_initializer="zeros", name="project")(text)
    bag = WideBag(
        shape.pieces, shape.pairs, shape.buckets, shape.vocabulary_size, parts, name="wide"
    )((ids, mask))
    inputs = {"pooled": pooled, "ids": ids, "mask": mask, "id_vector": residual}
    summands = [projected, bag, residual]
    if shape.features:
        features = inputs["features"] = keras.Input((shape.features,), name="features")
        unit = _Unit(name="features_unit")(_CentredIfAny(name="features_centre")(features))
        summands.append(
            keras.layers.Dense(
                parts, use_bias=False, kernel_initializer="zeros", name="project_features"
            )(unit)
        )
    fused = keras.layers.Add(name="fuse")(summands)
    embedding = _FitIntoBall(name="embedding")(fused)
    return keras.Model(inputs, embedding, name="item_head")


def build_user_tower(config: TowerConfig) -> keras.Model:
    """History of item embeddings to user embedding.

    Returns:
        A model of `items` float32 [batch, history, dim], most recent first, and `mask` float32
        [batch, history] (at most `history_items` long) to `embedding` float32 [batch, dim] of
        length 1. A mask of zeros gives the learned prior, never NaN.
    """
    items = keras.Input((None, config.dim), name="items")
    mask = keras.Input((None,), name="mask")
    pooled = _HistoryPool(config.history_items, name="pool")((items, mask))
    turned = keras.layers.Dense(
        config.dim, kernel_initializer="identity", bias_initializer="zeros", name="turn"
    )(pooled)  # its bias is the prior
    bent = keras.layers.Dense(
        config.hidden_units, activation=_gelu, kernel_initializer=_lecun(23), name="person_hidden"
    )(_Unit(name="person_unit")(turned))
    bent = keras.layers.Dense(
        config.dim, use_bias=False, kernel_initializer="zeros", name="person_out"
    )(bent)
    person = _Unit(name="direction")(turned)
    person = _TasteOnly(name="taste")(keras.layers.Add(name="person")([person, bent]))
    embedding = _Unit(name="embedding")(person)
    return keras.Model({"items": items, "mask": mask}, embedding, name="user_tower")


def shape_of(item_head: keras.Model) -> ItemShape:
    """What `build_item_head` was given."""
    wide = item_head.get_layer("wide")
    return ItemShape(
        hidden=item_head.input["pooled"].shape[-1],
        vocabulary_size=wide.vocabulary_size,
        pieces=wide.pieces,
        pairs=wide.pairs,
        buckets=wide.buckets,
        features=item_head.input["features"].shape[-1] if "features" in item_head.input else 0,
    )


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
