"""SavedModels on disk: written with `saved_model.pb` last, and read back as plain facts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from dualtower_export.contract import SIGNATURES
from dualtower_export.quiet import quiet_tensorflow

__all__ = ["PB", "Fact", "read_graph_ops", "read_proto", "read_signatures", "write_saved_model"]

PB = "saved_model.pb"

Fact = tuple[str, list[int | None]]  # dtype and shape


def write_saved_model(
    model: tf.Module, folder: Path, *, assets: Callable[[Path], None] | None = None
) -> None:
    """Writes a module of `serving_models` as a version folder of TensorFlow Serving.

    `saved_model.pb` is what makes a folder a SavedModel, so it is put there when all else is.

    Args:
        model: named like its entry in the contract.
        folder: the version folder, not there yet.
        assets: fills `assets.extra`, which it is given.
    """
    signatures = {name: getattr(model, name) for name in SIGNATURES[model.name]}
    with quiet_tensorflow():
        tf.saved_model.save(model, str(folder), signatures=signatures)
    aside = folder / f"{PB}.aside"
    (folder / PB).rename(aside)
    if assets is not None:
        extra = folder / "assets.extra"
        extra.mkdir()
        assets(extra)
    aside.rename(folder / PB)


def read_proto(folder: Path) -> saved_model_pb2.SavedModel:
    """The parsed `saved_model.pb` of a version folder."""
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / PB).read_bytes())
    return proto


def read_signatures(folder: Path) -> dict[str, dict[str, dict[str, Fact]]]:
    """The signatures of a version folder, TensorFlow's own `__saved_model_init_op` left out.

    Returns:
        `{signature: {"inputs" | "outputs" | "defaults": {name: (dtype, shape)}}}`; a free size is
        None.
    """
    facts = {}
    for name, signature in read_proto(folder).meta_graphs[0].signature_def.items():
        if name.startswith("__"):
            continue
        facts[name] = {
            "inputs": {key: _fact(info) for key, info in signature.inputs.items()},
            "outputs": {key: _fact(info) for key, info in signature.outputs.items()},
            "defaults": {key: _fact(value) for key, value in signature.defaults.items()},
        }
    return facts


def read_graph_ops(folder: Path) -> dict[str, set[str]]:
    """`{op: attributes that occur with it}` of a version folder, in its functions as well."""
    found: dict[str, set[str]] = {}
    for meta_graph in read_proto(folder).meta_graphs:
        graph = meta_graph.graph_def
        functions = {function.signature.name for function in graph.library.function}
        nodes = [graph.node, *(function.node_def for function in graph.library.function)]
        for node in (node for part in nodes for node in part):
            if node.op not in functions:
                found.setdefault(node.op, set()).update(node.attr)
    return found


def _fact(tensor: Any) -> Fact:
    dims = tensor.tensor_shape.dim
    dtype = tf.dtypes.as_dtype(tensor.dtype).name
    return dtype, [None if dim.size < 0 else dim.size for dim in dims]
