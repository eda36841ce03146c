"""Writes two small TFLite files with the inputs of a real bundle's, and a vocabulary.

    python edge_files.py FOLDER TOKENS HISTORY_ITEMS DIM

A program of its own, so that TensorFlow stays out of the process that measures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "item", "number", *"0123456789"]


def convert(function: Callable[..., dict[str, tf.Tensor]], specs: list[tf.TensorSpec]) -> bytes:
    traced = tf.function(function, input_signature=specs, autograph=False)
    module = tf.Module()
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [traced.get_concrete_function()], module
    ).convert()


def item_tower(ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
    summed = tf.reduce_sum(tf.cast(ids * mask, tf.float32), axis=1, keepdims=True)
    return {"embedding": tf.tile(summed, [1, 4])}


def user_tower(items: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"embedding": tf.reduce_sum(items * mask[:, :, tf.newaxis], axis=1)}


def main() -> None:
    folder = Path(sys.argv[1])
    tokens, history_items, dim = map(int, sys.argv[2:])
    folder.mkdir(parents=True)
    ids = [tf.TensorSpec([1, tokens], tf.int32, name) for name in ("ids", "mask")]
    items = [
        tf.TensorSpec([1, history_items, dim], tf.float32, "items"),
        tf.TensorSpec([1, history_items], tf.float32, "mask"),
    ]
    (folder / "item_tower.float32.tflite").write_bytes(convert(item_tower, ids))
    (folder / "user_tower.float32.tflite").write_bytes(convert(user_tower, items))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")


if __name__ == "__main__":
    main()
