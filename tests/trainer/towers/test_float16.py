"""Rows of zeros where a number as small as 1e-12 is zero itself: float16, on a phone and plain."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.towers import (
    ItemShape,
    TowerConfig,
    build_item_head,
    build_user_tower,
    fit_into_ball,
)

CONFIG = TowerConfig(dim=8, history_items=3, hidden_units=8)


def on_a_phone(model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first row through a float16 file, which LiteRT computes."""
    module = tf.Module()
    module.model = model
    call = tf.function(
        lambda **arrays: {"embedding": model(arrays)},
        input_signature=None,
        autograph=False,
    ).get_concrete_function(
        **{
            name: tf.TensorSpec([1, *array.shape[1:]], array.dtype, name)
            for name, array in inputs.items()
        }
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([call], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        (name,) = [name for name in inputs if name in detail["name"]]
        interpreter.set_tensor(detail["index"], inputs[name][:1])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_nobody_without_a_prior_is_nobody_on_a_phone_too() -> None:
    """An empty history is then a row of zeros in three places."""
    tower = build_user_tower(CONFIG)
    inputs = {
        "items": np.zeros((1, 3, 8), np.float32), "mask": np.zeros((1, 3), np.float32),
    }  # fmt: skip
    np.testing.assert_array_equal(on_a_phone(tower, inputs), np.zeros((1, 8)))


def test_a_text_that_says_what_all_say_has_an_embedding_on_a_phone_too() -> None:
    head = build_item_head(CONFIG, ItemShape(hidden=6))
    inputs = {
        "pooled": np.zeros((1, 6), np.float32),  # as is the mean that is subtracted
        "id_vector": np.zeros((1, 7), np.float32),
        "ids": np.zeros((1, 2), np.int32),
        "mask": np.zeros((1, 2), np.int32),
    }
    np.testing.assert_array_equal(on_a_phone(head, inputs), [[0, 0, 0, 0, 0, 0, 0, 1]])


@pytest.mark.parametrize("name", ["person_unit", "direction", "embedding"])
def test_a_row_of_zeros_stays_that_in_float16(name: str) -> None:
    layer = type(build_user_tower(CONFIG).get_layer(name))(dtype="float16")
    rows = np.array([[0, 0, 0], [0.5, 0, -1]], np.float16)
    found = layer(rows).numpy()
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_allclose(found[1], rows[1] / np.sqrt(1.25), rtol=2e-3)


def test_what_is_fitted_into_the_ball_is_so_in_float16() -> None:
    layer = type(build_item_head(CONFIG, ItemShape(hidden=6)).get_layer("embedding"))(
        dtype="float16"
    )
    rows = np.array([[0, 0, 0], [0.1, 0, -0.2], [3, 0, 4]], np.float16)
    found = layer(rows).numpy()
    np.testing.assert_allclose(found, fit_into_ball(rows.astype(np.float32)), atol=2e-3)


def test_rows_that_are_hardly_there_keep_the_length_that_float32_gave_them() -> None:
    """The floor of float32 is where it was: a faint prior still has a direction."""
    layer = build_user_tower(CONFIG).get_layer("direction")
    rows = np.array([[3e-5, 4e-5], [3e-9, 4e-9], [0, 0]], np.float32)
    expected = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    np.testing.assert_allclose(layer(rows).numpy(), expected, rtol=1e-5)
