"""int8 that a tower was trained for: quantisation-aware training by distillation from float.

By tensorflow-model-optimization (Jacob et al. 2018, https://arxiv.org/abs/1712.05877): weights and
the outputs of layers pass through 8 bits while the tower learns to say what it said before. A Dense
layer alone would stay float in the file, since its input has no range: LayerNorm, attention and
GELU get one too. A user tower's history pool and its first product stay float: the rest of many
items adds up there, beside which 8 bits leave a taste no digits (see `edge_user_tower`).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from dualtower_export.edge_convert import dynamic_range, edge_bert, item_converter, user_converter
from dualtower_export.edge_source import ITEM_TOWER, EdgeSource
from dualtower_export.edge_student import Student, custom_objects, distil, student_core
from dualtower_export.edge_user_tower import split_user_tower
from dualtower_trainer.bert_layers import AttentionCore, Gelu, PlainLayerNorm, TokenEmbedding
from dualtower_trainer.towers import build_item_head, shape_of
from dualtower_trainer.wide_layer import WideBag

__all__ = ["qat_int8", "train_for_int8"]

_TABLES = (TokenEmbedding, WideBag)
_RANGED = (AttentionCore, Gelu, PlainLayerNorm, TokenEmbedding, tf_keras.layers.Dense)
_FLOAT = ("turn",)
_UNIT_BEFORE_A_PRODUCT = "person_unit"
_LEARNING_RATE = 1e-5


def qat_int8(source: EdgeSource) -> bytes:
    """int8 weights, and int8 activations between BERT's layers; float in and out."""
    core, _ = train_for_int8(source)
    if source.tower != ITEM_TOWER:
        return dynamic_range(user_converter(source, split_user_tower(core)))
    static = _wrapped(edge_bert(source))
    static.set_weights(core.get_weights())
    return dynamic_range(item_converter(source, static, _with_table_steps(source)))


def train_for_int8(source: EdgeSource) -> tuple[tf_keras.Model, list[float]]:
    """The core with its 8-bit steps inside, and the error of every training step."""
    core = _wrapped(student_core(source))
    return core, distil(Student(source, core), learning_rate=_LEARNING_RATE)


def _with_table_steps(source: EdgeSource) -> tf_keras.Model:
    """The item head with steps around zero for its table, as a lookup wants them."""
    trained = source.trained
    head = build_item_head(trained.config, shape_of(trained.item_head))
    head.set_weights(trained.item_head.get_weights())
    head = _wrapped(head, only=(WideBag,))
    nothing = {name: tf.zeros([1, part.shape[1] or 2], part.dtype)
               for name, part in head.input.items()}  # fmt: skip
    head(nothing, training=True)  # reads the table's range
    return head


class _Ranges(tfmot.quantization.keras.QuantizeConfig):
    """8 bits for a kernel or a table, and for the output of a layer by all that it ever was.

    A kernel has one step: the converter turns it round, and cannot turn a step a row with it. A
    table's rows go into a sum, which stays float.
    """

    def get_weights_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        last = tfmot.quantization.keras.quantizers.LastValueQuantizer(
            num_bits=8, per_axis=False, symmetric=True, narrow_range=True
        )
        return [(getattr(layer, name), last) for name in self._names(layer)]

    def get_activations_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        return []

    def set_quantize_weights(
        self, layer: tf_keras.layers.Layer, quantize_weights: list[tf.Tensor]
    ) -> None:
        for name, value in zip(self._names(layer), quantize_weights, strict=True):
            setattr(layer, name, value)

    def set_quantize_activations(
        self, layer: tf_keras.layers.Layer, quantize_activations: list[Any]
    ) -> None:
        """There are none."""

    def get_output_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        if isinstance(layer, _TABLES):
            return []
        return [
            tfmot.quantization.keras.quantizers.AllValuesQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]

    def get_config(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def _names(layer: tf_keras.layers.Layer) -> list[str]:
        return [name for name in ("kernel", "table") if hasattr(layer, name)]


def _wrapped(model: tf_keras.Model, only: tuple[type, ...] | None = None) -> tf_keras.Model:
    """The model with 8-bit steps around the layers that have them."""

    kinds = only or _RANGED

    def choose(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        name = layer.name
        if name == _UNIT_BEFORE_A_PRODUCT or (isinstance(layer, kinds) and name not in _FLOAT):
            return tfmot.quantization.keras.QuantizeWrapperV2(layer, _Ranges())
        return layer

    with tf_keras.utils.custom_object_scope(custom_objects(model)):
        return tf_keras.models.clone_model(model, clone_function=choose)
