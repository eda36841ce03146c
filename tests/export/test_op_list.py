"""Ops that a stock server lacks are found in the file."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import tensorflow as tf

from dualtower.bundle import MODELS
from dualtower.errors import UsageError
from dualtower_export import op_registry
from dualtower_export.gate_files import check_ops
from dualtower_export.op_list import (
    SERVERS,
    fitting_servers,
    foreign_attributes,
    foreign_ops,
    server_ops,
)
from dualtower_export.saved_model import read_graph_ops
from dualtower_export.server_target import check_target


def test_foreign_ops_are_named_once_and_sorted() -> None:
    assert foreign_ops(["MatMul", "PyFunc", "FlexThing", "PyFunc"]) == ["FlexThing", "PyFunc"]


def test_an_attribute_that_only_a_newer_server_knows_is_named() -> None:
    """TensorFlow 2.21 gave TensorListGetItem a type for its shape."""
    graph = {"TensorListGetItem": {"element_dtype", "Tshape", "_class"}, "MatMul": {"T"}}
    assert foreign_attributes(graph, "2.20.0") == ["TensorListGetItem.Tshape"]
    assert foreign_attributes(graph, "2.21.0") == []
    assert fitting_servers(graph) == ["2.21.0"]
    assert fitting_servers({"MatMul": {"T", "_any"}}) == ["2.20.0", "2.21.0"]
    assert fitting_servers({"PyFunc": {"token"}}) == []


def test_the_list_of_our_own_version_is_what_our_tensorflow_has() -> None:
    """Made again here and now; another TensorFlow needs a list of its own."""
    lists = resources.files("dualtower_export") / "server_ops"
    made = subprocess.run(
        [sys.executable, op_registry.__file__], capture_output=True, text=True, check=True
    )
    assert made.stdout == (lists / f"{tf.__version__}.txt").read_text("utf-8")


@pytest.mark.parametrize("version", SERVERS)
def test_a_list_holds_no_python_and_is_sorted(version: str) -> None:
    ops = list(server_ops(version))
    assert ops == sorted(ops)
    assert not {"PyFunc", "EagerPyFunc", "FastBertNormalize"} & set(ops)
    assert {"MatMul", "NoOp", "PartitionedCall", "FastWordpieceTokenizeWithOffsets"} <= set(ops)


@pytest.mark.parametrize(
    ("tensorflow", "target"), [("2.20.0", "2.20.0"), ("2.9.1", "2.20.0"), ("2.21.0-rc1", "2.21.0")]
)
def test_an_older_or_equal_tensorflow_may_export(tensorflow: str, target: str) -> None:
    check_target(tensorflow, target, force=False)


def test_a_newer_tensorflow_is_refused_unless_forced() -> None:
    with pytest.raises(UsageError, match=r"TensorFlow 2\.21\.0 is newer .*2\.9\.0 .*--force-newer"):
        check_target("2.21.0", "2.9.0", force=False)
    check_target("2.21.0", "2.9.0", force=True)


def test_the_models_of_a_bundle_have_none(bundle) -> None:
    for model in MODELS:
        folder = bundle.model_path(model) / "1"
        gate = check_ops(model, folder)
        assert gate.passed
        assert "in stock servers 2.20.0, 2.21.0" in gate.detail
        assert "FastWordpieceTokenizeWithOffsets" in read_graph_ops(folder)


def test_a_python_function_inside_a_function_is_found(tmp_path: Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False)
    def inner(x: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), [None])

    module.serving_default = tf.function(
        lambda x: {"y": inner(x)},
        input_signature=[tf.TensorSpec([None], tf.float32, "x")],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.serving_default)
    gate = check_ops("item_tower", tmp_path / "1")
    assert not gate.passed
    assert "PyFunc" in gate.detail
