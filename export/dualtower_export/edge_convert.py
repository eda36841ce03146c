"""The two towers as graphs of batch 1 for TFLite, and the formats that the converter itself knows.

`convert()` leaks on every call (tensorflow/tensorflow#122598): use one process a file.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from dualtower_export.edge_source import ITEM_TOWER, EdgeSource
from dualtower_export.edge_user_tower import split_user_tower
from dualtower_export.item_graph import item_function
from dualtower_trainer.bert import MASK_BIAS, build_bert, load_weights

__all__ = [
    "converter_for",
    "converter_of",
    "dynamic_int8",
    "dynamic_range",
    "edge_bert",
    "float16",
    "float32",
    "item_converter",
    "user_converter",
]


def float32(source: EdgeSource) -> bytes:
    """Weights and activations as trained."""
    return converter_of(source).convert()


def float16(source: EdgeSource) -> bytes:
    """Weights in float16, read as float32 where the runtime computes so."""
    converter = converter_of(source)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def dynamic_int8(source: EdgeSource) -> bytes:
    """Weights in int8; activations become int8 by the range of each call."""
    return dynamic_range(converter_of(source))


def dynamic_range(converter: tf.lite.TFLiteConverter) -> bytes:
    """Converts with weights in int8 wherever a kernel takes them so."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def converter_of(source: EdgeSource) -> tf.lite.TFLiteConverter:
    """The converter of a tower as it was trained."""
    if source.tower == ITEM_TOWER:
        return item_converter(source, edge_bert(source))
    return user_converter(source, split_user_tower(source.trained.user_tower))


def edge_bert(source: EdgeSource, mask_bias: float = MASK_BIAS) -> tf_keras.Model:
    """BERT with the run's weights, of batch 1 and the length of the source."""
    encoder = source.trained.encoder()
    bert = build_bert(encoder.config, tokens=source.static_tokens, batch=1, mask_bias=mask_bias)
    load_weights(bert, encoder.tensors)
    return bert


def item_converter(
    source: EdgeSource, bert: tf_keras.Model, head: tf_keras.Model | None = None
) -> tf.lite.TFLiteConverter:
    """ids, mask int32 [1, tokens] -> embedding float32 [1, dim] of an unseen text.

    Args:
        source: the run and the length.
        bert: its encoder.
        head: what stands above it; None takes the run's.
    """
    head = head or source.trained.item_head
    return converter_for(source, item_function(bert, head), bert, head)


def user_converter(source: EdgeSource, tower: tf_keras.Model) -> tf.lite.TFLiteConverter:
    """items float32 [1, history_items, dim], mask float32 [1, history_items] -> embedding."""
    return converter_for(source, lambda items, mask: tower({"items": items, "mask": mask}), tower)


def converter_for(
    source: EdgeSource,
    embed: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    *models: tf_keras.Model,
) -> tf.lite.TFLiteConverter:
    """The converter of any function of a tower's two inputs.

    Args:
        source: says which tower, and the sizes.
        embed: from the inputs named above to embeddings float32 [1, dim].
        models: what holds the variables of `embed`.
    """
    graph = tf.function(
        lambda first, mask: {"embedding": embed(first, mask)},
        input_signature=_inputs(source),
        autograph=False,
    )
    parts = tf.Module()
    # not the models: to save them, Keras would trace every layer once more
    parts.weights = [variable for model in models for variable in model.variables]
    return tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()], parts)


def _inputs(source: EdgeSource) -> list[tf.TensorSpec]:
    if source.tower == ITEM_TOWER:
        shape = [1, source.static_tokens]
        return [tf.TensorSpec(shape, tf.int32, name) for name in ("ids", "mask")]
    config = source.trained.config
    shape = [1, config.history_items]
    return [
        tf.TensorSpec([*shape, config.dim], tf.float32, "items"),
        tf.TensorSpec(shape, tf.float32, "mask"),
    ]
