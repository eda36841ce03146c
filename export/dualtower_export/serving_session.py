"""A SavedModel in a session, called by signature: how TensorFlow Serving runs it, in this process.

Not `tf.saved_model.load`: that calls Python wrappers around the functions, while the server feeds
and fetches the tensors that the SignatureDef names; what is tested should be what is served. It
also takes a fraction of the memory, since no function is traced again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of the tokeniser

from dualtower_export.quiet import quiet_tensorflow

__all__ = ["ServedModel", "open_model"]


class ServedModel:
    """The signatures of one loaded version.

    Example:
        with open_model(Path("bundle/serving/item_tower/1")) as model:
            model("serving_default", text=np.array(["green tea"], object))["embedding"]
    """

    def __init__(self, session: tf.compat.v1.Session, signatures: Any) -> None:
        self._session, self._signatures = session, signatures

    def __call__(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name. An input that has a default may be left out.

        Raises:
            KeyError: no such signature or input, or an input without a default is missing.
            tf.errors.OpError: an op fails.
        """
        if signature not in self._signatures:  # a protobuf map would make an empty one
            raise KeyError(f"no signature {signature}; there are {', '.join(self._signatures)}")
        wanted = self._signatures[signature]
        defaults = {name: tf.make_ndarray(proto) for name, proto in wanted.defaults.items()}
        values = {**defaults, **inputs}
        if set(values) != set(wanted.inputs):
            raise KeyError(
                f"{signature} takes {', '.join(wanted.inputs)}; got {', '.join(values) or 'none'}"
            )
        feeds = {wanted.inputs[name].name: value for name, value in values.items()}
        outputs = {name: info.name for name, info in wanted.outputs.items()}
        return self._session.run(outputs, feeds)


@contextmanager
def open_model(folder: Path) -> Iterator[ServedModel]:
    """Loads a version folder; its memory is given back at the end."""
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    try:
        with graph.as_default(), quiet_tensorflow():
            meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        yield ServedModel(session, meta_graph.signature_def)
    finally:
        session.close()
        del session, graph
        gc.collect()  # a graph is a cycle that holds every weight
