"""The two towers as TFLite files: static shapes, batch 1, built-in ops only."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from dualtower_export.edge_user_tower import split_user_tower
from dualtower_export.item_graph import item_function
from dualtower_trainer.bert import build_bert, load_weights
from dualtower_trainer.checkpoint import Trained

__all__ = ["TOWERS", "convert"]


def convert(trained: Trained, tower: str, variant: str) -> bytes:
    """The TFLite file of one tower.

    `convert()` leaks on every call (tensorflow/tensorflow#122598): use one process a file.

    Args:
        trained: the run.
        tower: one of TOWERS.
        variant: one of `config.VARIANTS`.
    """
    parts = tf.Module(name=tower)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [TOWERS[tower](trained, parts).get_concrete_function()], parts
    )
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _item_tower(trained: Trained, parts: tf.Module) -> tf.types.experimental.PolymorphicFunction:
    """ids, mask int32 [1, item_tokens] -> embedding float32 [1, dim] of an unseen text."""
    encoder = trained.encoder()
    bert = build_bert(encoder.config, tokens=trained.max_tokens, batch=1)
    load_weights(bert, encoder.tensors)
    parts.models = [bert, trained.item_head]
    embed = item_function(bert, trained.item_head)
    shape = [1, trained.max_tokens]
    return tf.function(
        lambda ids, mask: {"embedding": embed(ids, mask)},
        input_signature=[tf.TensorSpec(shape, tf.int32, name) for name in ("ids", "mask")],
        autograph=False,
    )


def _user_tower(trained: Trained, parts: tf.Module) -> tf.types.experimental.PolymorphicFunction:
    """items float32 [1, history_items, dim], mask float32 [1, history_items] -> embedding."""
    tower, config = split_user_tower(trained.user_tower), trained.config
    parts.models = [tower]
    shape = [1, config.history_items]
    return tf.function(
        lambda items, mask: {"embedding": tower({"items": items, "mask": mask})},
        input_signature=[
            tf.TensorSpec([*shape, config.dim], tf.float32, "items"),
            tf.TensorSpec(shape, tf.float32, "mask"),
        ],
        autograph=False,
    )


TOWERS: dict[str, Callable[..., tf.types.experimental.PolymorphicFunction]] = {
    "item_tower": _item_tower,
    "user_tower": _user_tower,
}
