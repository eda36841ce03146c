"""One run of a SavedModel's signature in a session that records every op: names, shapes, dtypes.

The graph runs as it was saved, without the rewriting that a session does: fused ops would hide what
they are made of. That costs time, and nothing here is timed.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dualtower_benchmarks.roofline.graph_count import GraphCount, OpRun, Tensor, count_ops

__all__ = ["SavedGraph"]

# "[ cpu 0.3MB 0.1MB] name = Op(input, input)", the brackets only behind large allocations
_LABEL = re.compile(r"^(?:\[[^]]*\] )?(?P<name>\S+) = (?P<op>\w+)\((?P<inputs>.*)\)", re.DOTALL)


class SavedGraph:
    """A SavedModel as one session has it; import it in a process that has no TensorFlow yet.

    Args:
        path: the folder with `saved_model.pb`.
        signature: which of its signatures is run.
    """

    def __init__(self, path: Path, signature: str = "serving_default") -> None:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # whose rewritten ops have other names
        import tensorflow as tf

        config = tf.compat.v1.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = -1
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        with (
            tempfile.TemporaryDirectory(prefix="dualtower-roofline-") as folder,
            graph.as_default(),
        ):
            _plain_copy(path, Path(folder), config.SerializeToString())
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], folder)
        found = loaded.signature_def[signature]
        self._feeds = {name: tensor.name for name, tensor in found.inputs.items()}
        self._fetches = {name: tensor.name for name, tensor in found.outputs.items()}
        self._equations = _equations(loaded.graph_def)

    @property
    def inputs(self) -> list[str]:
        return sorted(self._feeds)

    def count(self, feeds: Mapping[str, np.ndarray]) -> GraphCount:
        """FLOPs and bytes of one call.

        Args:
            feeds: the inputs by name, with the rows as first dimension.
        """
        import tensorflow as tf

        options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
        record = tf.compat.v1.RunMetadata()
        outputs = self._session.run(
            self._fetches,
            {self._feeds[name]: value for name, value in feeds.items()},
            options=options,
            run_metadata=record,
        )
        edges = [*feeds.values(), *outputs.values()]
        return count_ops(
            self._runs(record.step_stats),
            rows=len(next(iter(feeds.values()))),
            edge_bytes=sum(array.nbytes for array in edges if array.dtype != object),
        )

    def _runs(self, stats: Any) -> Iterator[OpRun]:
        nodes = [node for device in stats.dev_stats for node in device.node_stats]
        nodes.sort(key=lambda node: node.all_start_nanos)  # what writes starts before what reads
        for node in nodes:
            if label := _LABEL.match(node.timeline_label):
                yield OpRun(
                    label["name"],
                    label["op"],
                    [name for name in label["inputs"].split(", ") if name and name[0] != "^"],
                    {output.slot: _tensor(output.tensor_description) for output in node.output},
                    self._equation(label["name"]) if label["op"] == "Einsum" else "",
                )

    def _equation(self, name: str) -> str:
        """Of an Einsum, whose node may have been inlined under a longer name."""
        found = {
            equation
            for node, equation in self._equations.items()
            if name == node or name.endswith(f"/{node}") or name.startswith(f"{node}_tfg_")
        }
        if len(found) != 1:
            raise ValueError(f"the equation of Einsum {name} is not known")
        return found.pop()


def _plain_copy(path: Path, folder: Path, config: bytes) -> None:
    """A SavedModel beside the same weights whose calls of functions do not ask for rewriting.

    Every call carries the settings of the process that traced it, which come before the session's.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    for entry in path.iterdir():
        if entry.name != "saved_model.pb":
            (folder / entry.name).symlink_to(entry.resolve())
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for meta_graph in saved.meta_graphs:
        library = meta_graph.graph_def.library.function
        for body in (meta_graph.graph_def.node, *(function.node_def for function in library)):
            for node in body:
                if "config_proto" in node.attr:
                    node.attr["config_proto"].s = config
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def _tensor(description: Any) -> Tensor:
    import tensorflow as tf

    dtype = tf.dtypes.as_dtype(description.dtype)
    counted = dtype.is_floating or dtype.is_integer or dtype.is_bool
    shape = tuple(dimension.size for dimension in description.shape.dim)
    return Tensor(shape, dtype.size if counted else 0, dtype.is_floating)


def _equations(graph_def: Any) -> dict[str, str]:
    bodies = [graph_def.node, *(function.node_def for function in graph_def.library.function)]
    return {
        node.name: node.attr["equation"].s.decode()
        for body in bodies
        for node in body
        if node.op == "Einsum"
    }
