"""A tower that is trained to say what the float tower says, while its weights are constrained.

Knowledge distillation (Hinton et al. 2015, https://arxiv.org/abs/1503.02531) with an embedding as
what is taught. The texts and histories are those of the training period; nobody's targets are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from dualtower_export.edge_convert import item_converter, user_converter
from dualtower_export.edge_source import ITEM_TOWER, EdgeSource
from dualtower_export.edge_user_tower import split_user_tower
from dualtower_export.item_graph import item_function
from dualtower_trainer.bert import build_bert, load_weights, read_weights
from dualtower_trainer.towers import build_user_tower

__all__ = [
    "LEARNING_RATE",
    "Student",
    "batches",
    "converter_with",
    "custom_objects",
    "distil",
    "relative_error",
    "student_core",
]

LEARNING_RATE = 3e-5
_BATCH = 16

Batch = Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class Student:
    """What is trained.

    Attributes:
        source: the float tower, and what is read.
        core: the model whose weights are constrained, of any batch: BERT, or the whole user tower
            with `items` and `mask` in a list.
    """

    source: EdgeSource
    core: tf_keras.Model

    def embed(self, batch: Batch, *, training: bool) -> tf.Tensor:
        """Embeddings [batch, dim] of ids and mask, or of items and mask."""

        def core(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
            return self.core(list(inputs), training=training)

        if self.source.tower == ITEM_TOWER:
            return item_function(core, self.source.trained.item_head)(*map(tf.constant, batch))
        return core(list(map(tf.constant, batch)))


def student_core(source: EdgeSource) -> tf_keras.Model:
    """The float tower's part that is to be constrained, with weights of its own."""
    if source.tower == ITEM_TOWER:
        encoder = source.trained.encoder()
        bert = build_bert(encoder.config)
        load_weights(bert, encoder.tensors)
        return bert
    tower = build_user_tower(source.trained.config)
    tower.set_weights(source.trained.user_tower.get_weights())
    inputs = [tower.input["items"], tower.input["mask"]]
    return tf_keras.Model(inputs, tower.output, name=tower.name)


def custom_objects(core: tf_keras.Model) -> dict[str, Any]:
    """Classes and activations by the names under which Keras writes them down."""
    known: dict[str, Any] = {type(layer).__name__: type(layer) for layer in core.layers}
    for layer in core.layers:
        if isinstance(layer, tf_keras.layers.Dense):
            known[layer.activation.__name__] = layer.activation
    return known


def converter_with(source: EdgeSource, core: tf_keras.Model) -> tf.lite.TFLiteConverter:
    """The converter of a tower whose core has the weights of `core`."""
    if source.tower == ITEM_TOWER:
        bert = build_bert(source.trained.encoder().config, tokens=source.static_tokens, batch=1)
        load_weights(bert, read_weights(core))
        return item_converter(source, bert)
    return user_converter(source, split_user_tower(core))


def distil(
    student: Student,
    *,
    learning_rate: float = LEARNING_RATE,
) -> list[float]:
    """Trains the core for `source.steps` steps; the error of every step.

    Args:
        student: what is trained; it starts as good as its constraint lets it.
        learning_rate: of Adam, falling to zero along a cosine.
    """
    source = student.source
    teacher = Student(source, student_core(source))
    schedule = tf_keras.optimizers.schedules.CosineDecay(learning_rate, max(source.steps, 1))
    optimizer = tf_keras.optimizers.legacy.Adam(schedule)
    errors = []
    for batch in islice(batches(source), source.steps):
        wanted = teacher.embed(batch, training=False)
        with tf.GradientTape() as tape:
            error = relative_error(student.embed(batch, training=True), wanted)
        variables = student.core.trainable_variables
        gradients = tape.gradient(error, variables)
        pairs = zip(gradients, variables, strict=True)
        optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])
        errors.append(float(error))
    return errors


def relative_error(found: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Mean of |found - wanted|² / |wanted|² over tastes: direction and strength both count.

    Args:
        found: embeddings float32 [batch, dim].
        wanted: the teacher's.
    """
    taste = wanted[:, :-2]
    squares = tf.reduce_sum(tf.square(found[:, :-2] - taste), axis=1)
    return tf.reduce_mean(squares / (tf.reduce_sum(tf.square(taste), axis=1) + 1e-9))


def batches(source: EdgeSource) -> Iterator[Batch]:
    """Random rows of the calibration inputs without end, as wide as the longest of them."""
    random = np.random.default_rng(source.seed)
    arrays = source.calibration
    while True:
        rows = random.choice(len(arrays["mask"]), _BATCH, replace=len(arrays["mask"]) < _BATCH)
        mask = arrays["mask"][rows]
        wide = max(2, int(np.flatnonzero(mask.any(axis=0)).max(initial=0)) + 1)
        mask = mask[:, :wide]
        if source.tower == ITEM_TOWER:
            yield arrays["ids"][rows, :wide], mask
        else:
            items = arrays["vectors"][arrays["rows"][rows, :wide]].astype(np.float32)
            yield items * mask[..., None], mask
