"""Ops that a stock server lacks are found in the file."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from dualtower.bundle import MODELS
from dualtower_export.gate_files import check_ops
from dualtower_export.op_list import foreign_ops
from dualtower_export.saved_model import read_graph_ops


def test_foreign_ops_are_named_once_and_sorted() -> None:
    assert foreign_ops(["MatMul", "PyFunc", "FlexThing", "PyFunc"]) == ["FlexThing", "PyFunc"]


def test_the_models_of_a_bundle_have_none(bundle) -> None:
    for model in MODELS:
        folder = bundle.model_path(model) / "1"
        assert check_ops(model, folder).passed
        assert "FastWordpieceTokenizeWithOffsets" in read_graph_ops(folder)


def test_a_python_function_inside_a_function_is_found(tmp_path: Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def inner(x: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), [None])

    module.serving_default = tf.function(
        lambda x: {"y": inner(x)}, input_signature=[tf.TensorSpec([None], tf.float32, "x")]
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.serving_default)
    gate = check_ops("item_tower", tmp_path / "1")
    assert not gate.passed
    assert "PyFunc" in gate.detail
