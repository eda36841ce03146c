"""The towers of a bundle as TF Hub loads them: reusable, with the answers of the signatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from dualtower_export.saved_model import read_proto

hub = pytest.importorskip(
    "tensorflow_hub", reason="pip install 'dualtower[hub]'", exc_type=ImportError
)

TEXTS = ["green tea", "CAFÉ über", "", "茶米 [SEP]", "tea " * 50, "black coffee box"]
HISTORIES = [["green tea", "salted nut box"], ["tea", ""], ["", ""], ["milk", "milk"]]
ASKED = {"item_tower": (TEXTS, "text"), "user_tower": (HISTORIES, "history")}


@pytest.fixture(scope="module", params=["item_tower", "user_tower"])
def tower(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(bundle, tower: str) -> Path:
    return bundle.model_path(tower) / str(bundle.version)


@pytest.fixture(scope="module")
def wanted(served, tower: str) -> np.ndarray:
    """What the signature answers in a server's session."""
    asked, name = ASKED[tower]
    return served[tower]("serving_default", **{name: np.array(asked, object)})["embedding"]


def test_a_loaded_tower_is_called(folder: Path, tower: str, wanted: np.ndarray) -> None:
    loaded = hub.load(str(folder))
    asked, name = ASKED[tower]
    np.testing.assert_allclose(loaded(tf.constant(asked)), wanted, atol=1e-6)
    by_signature = loaded.signatures["serving_default"](**{name: tf.constant(asked)})
    np.testing.assert_allclose(by_signature["embedding"], wanted, atol=1e-6)
    assert list(loaded.trainable_variables) == list(loaded.regularization_losses) == []
    assert all(isinstance(variable, tf.Variable) for variable in loaded.variables)
    assert (len(loaded.variables) > 0) == (tower == "user_tower"), "an item tower has constants"


def test_a_tower_is_a_keras_layer(folder: Path, tower: str, wanted: np.ndarray, tmp_path) -> None:
    asked = tf.constant(ASKED[tower][0])
    layer = hub.KerasLayer(str(folder), dtype=tf.string)
    model = tf_keras.Sequential([tf_keras.Input(asked.shape[1:], dtype=tf.string), layer])
    np.testing.assert_allclose(model(asked), wanted, atol=1e-6)
    assert model.output_shape == (None, wanted.shape[1])
    assert not model.trainable_weights
    tf.saved_model.save(model, str(tmp_path / "model"))
    again = hub.load(str(tmp_path / "model"))
    np.testing.assert_allclose(again(asked), wanted, atol=1e-6)


def test_the_file_holds_everything_once(folder: Path, tower: str) -> None:
    graph_def = read_proto(folder).meta_graphs[0].graph_def
    nodes = [node for part in graph_def.library.function for node in part.node_def]
    assert sum(node.op == "FastWordpieceTokenizeWithOffsets" for node in nodes) == 1
    stored = tf.train.list_variables(str(folder / "variables" / "variables"))
    held = hub.load(str(folder)).variables
    assert sum("VARIABLE_VALUE" in name for name, _ in stored) == len(held)
    size = (folder / "variables" / "variables.data-00000-of-00001").stat().st_size
    graph = len(read_proto(folder).meta_graphs[0].object_graph_def.SerializeToString())
    assert size < sum(variable.numpy().nbytes for variable in held) + graph + 100_000
