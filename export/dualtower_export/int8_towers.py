"""Both towers in int8, over whichever operations: watched in float, or rounded for TFLite."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from dualtower_export.int8_bert import Int8Bert
from dualtower_export.int8_ops import Int8Ops, int8_rows
from dualtower_export.int8_ranges import SMALLEST, Affine

__all__ = ["Int8ItemTower", "Int8UserTower"]


class Int8ItemTower:
    """The item tower of an unseen text: no residual of an id, and no other modality.

    Args:
        bert: the encoder.
        item_head: what stands above it.

    Attributes:
        model: what holds the variables.
    """

    def __init__(self, bert: Int8Bert, item_head: tf_keras.Model) -> None:
        self.model = item_head
        self._bert = bert
        self._project = _affine(item_head.get_layer("project"))
        table = item_head.get_layer("wide").table.numpy()
        self._row_steps = np.maximum(np.abs(table).max(axis=1), SMALLEST)
        self._rows = table / self._row_steps[:, None]

    def __call__(self, ops: Int8Ops, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Embeddings float32 [batch, dim] of int32 [batch, tokens]."""
        layer = self.model.get_layer
        text = layer("text_unit")(layer("centre")(self._bert(ops, ids, mask)))
        parts = ops.dense("project", text, self._project)
        return layer("embedding")(parts + self._bag(ids, mask))

    def _bag(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The wide part with its table in int8, a step a row."""
        wide = self.model.get_layer("wide")
        gram = wide.grams_of(ids, mask)
        flat = tf.reshape(gram, [-1])
        steps = tf.gather(tf.constant(self._row_steps), flat)
        return wide.combine(gram, int8_rows(self._rows, flat) * tf.expand_dims(steps, -1))


class Int8UserTower:
    """The user tower; the sum over the history stays float.

    Args:
        tower: the trained one.

    Attributes:
        model: what holds the variables.
    """

    def __init__(self, tower: tf_keras.Model) -> None:
        self.model = tower
        self._turn = _affine(tower.get_layer("turn"))
        self._hidden = _affine(tower.get_layer("person_hidden"))
        self._out = _affine(tower.get_layer("person_out"))

    def __call__(self, ops: Int8Ops, items: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Embeddings float32 [batch, dim] of float32 [batch, history_items, dim] and its mask."""
        layer, turn = self.model.get_layer, self._turn
        pooled = layer("pool")((items, mask))
        # weight and rest apart from the taste, as in `edge_user_tower`
        turned = ops.dense("turn", pooled[:, :-2], Affine(turn.kernel[:-2], turn.bias))
        turned += pooled[:, -2:-1] * turn.kernel[-2] + pooled[:, -1:] * turn.kernel[-1]
        unit, activation = layer("person_unit")(turned), layer("person_hidden").activation
        bent = ops.neurons("person", unit, self._hidden, activation, self._out)
        person = layer("direction")(turned) + bent
        return layer("embedding")(layer("taste")(person))


def _affine(dense: tf_keras.layers.Dense) -> Affine:
    kernel = dense.kernel.numpy()
    bias = dense.bias.numpy() if dense.use_bias else np.zeros(kernel.shape[1], np.float32)
    return Affine(kernel, bias)
