"""One loaded version of a SavedModel: its signatures, and a way to run them without Python's lock.

The graph runs in a session, fed and fetched by tensor name, as in TensorFlow Serving, so that
defaults, output filters and errors behave as they do there. A session's *callable* is prepared once
for each set of inputs and outputs; a call of it costs about 10 µs here, where `Session.run` and a
signature of `tf.saved_model.load` cost 120 µs.

Loading runs the code in the model's graph and nothing else: load only models that you trust.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2

from dualtower_clients import codec
from dualtower_clients.errors import TensorError
from dualtower_clients.proto import signature_pb2
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Servable", "SessionSettings", "load"]

_CALLABLES = 64  # prepared runs that are kept; an output filter makes one of its own
_VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable"})


@dataclass(frozen=True)
class SessionSettings:
    """Threads of TensorFlow (0: one for each core), and which graph of the file to load."""

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    tags: tuple[str, ...] = ("serve",)


class Servable:
    """A session with its signatures. Threads may share it. Made by `load`."""

    def __init__(self, session: Any, signatures: Mapping[str, signature_pb2.SignatureDef]) -> None:
        self.signatures = signatures
        self.defaults = {name: _defaults_of(one) for name, one in signatures.items()}
        self._session = session
        self._callables: OrderedDict[tuple[tuple[str, ...], tuple[str, ...]], Callable[..., Any]]
        self._callables = OrderedDict()
        self._preparing = threading.Lock()

    def run(self, feeds: Mapping[str, NDArray[Any]], fetches: Sequence[str]) -> list[NDArray[Any]]:
        """Computes tensors of the graph.

        Args:
            feeds: arrays by tensor name.
            fetches: names of tensors, each once.

        Raises:
            StatusError: what TensorFlow raised, with its code and text.
        """
        with _tensorflow_errors():
            run = self._callable(tuple(feeds), tuple(fetches))
            values = run(*feeds.values())
        return [_array_of(value) for value in values]

    def close(self) -> None:
        """Frees the session; no call may run any more."""
        self._callables.clear()
        self._session.close()

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Callable[..., Any]:
        key = (feeds, fetches)
        with self._preparing:
            run = self._callables.get(key)
            if run is None:
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
                run = self._callables[key] = self._session._make_callable_from_options(options)
                if len(self._callables) > _CALLABLES:
                    self._callables.popitem(last=False)
            else:
                self._callables.move_to_end(key)
        return run


def load(path: str, settings: SessionSettings) -> Servable:
    """Loads the SavedModel in the folder `path`.

    Raises:
        StatusError: it is none, it is damaged, or an op is missing.
    """
    if not os.path.isfile(os.path.join(path, "saved_model.pb")) and not os.path.isfile(
        os.path.join(path, "saved_model.pbtxt")
    ):
        raise StatusError(
            Code.NOT_FOUND,
            "Specified file path does not appear to contain a SavedModel bundle "
            f"(should have a file called `saved_model.pb`). Specified file path: {path}",
        )
    config = config_pb2.ConfigProto(
        intra_op_parallelism_threads=settings.intra_op_threads,
        inter_op_parallelism_threads=settings.inter_op_threads,
    )
    config.gpu_options.allow_growth = True  # a GPU is shared with whoever runs beside us
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        with _tensorflow_errors(), graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(session, list(settings.tags), path)
            _check_variables(path, graph)
        return Servable(session, _signatures_of(meta_graph))
    except BaseException:
        session.close()
        raise


def _check_variables(path: str, graph: tf.Graph) -> None:
    """TensorFlow loads a graph whose variables are gone, and then fails on every call."""
    if os.path.isfile(os.path.join(path, "variables", "variables.index")):
        return
    if any(op.type in _VARIABLE_OPS for op in graph.get_operations()):
        raise StatusError(
            Code.NOT_FOUND, f"the graph in {path} has variables, their files are gone"
        )


def _signatures_of(meta_graph: Any) -> dict[str, signature_pb2.SignatureDef]:
    return {
        name: signature_pb2.SignatureDef.FromString(one.SerializeToString())
        for name, one in meta_graph.signature_def.items()
    }


def _defaults_of(signature: signature_pb2.SignatureDef) -> dict[str, NDArray[Any]]:
    try:
        return {alias: codec.decode(proto) for alias, proto in signature.defaults.items()}
    except TensorError as error:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"a default of a signature cannot be read: {error}"
        ) from error


def _array_of(value: Any) -> NDArray[Any]:
    """A fetched value; a scalar string comes as bytes, which numpy would cut at trailing NULs."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


@contextlib.contextmanager
def _tensorflow_errors() -> Iterator[None]:
    """What TensorFlow raises, as StatusError."""
    try:
        yield
    except tf.errors.OpError as error:
        raise StatusError(error.error_code, error.message) from error
    except DecodeError as error:
        raise StatusError(Code.DATA_LOSS, f"the SavedModel cannot be parsed: {error}") from error
    except (OSError, RuntimeError) as error:
        raise StatusError(Code.NOT_FOUND, f"the SavedModel cannot be loaded: {error}") from error
    except (TypeError, ValueError) as error:
        raise StatusError(Code.INVALID_ARGUMENT, str(error)) from error
