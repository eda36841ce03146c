"""One loaded version of a SavedModel: its signatures, and a way to run them without Python's lock.

The graph runs in a session, fed and fetched by tensor name, as in TensorFlow Serving, so that
defaults, output filters and errors behave as they do there. The session is called by the function
that `Session.run` ends in: 30 µs a call where `Session.run` and a signature of
`tf.saved_model.load` take 200 µs, and each call may have a timeout of its own.

Loading runs the code in the model's graph and nothing else: load only models that you trust.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session

from dualtower_clients import codec
from dualtower_clients.errors import TensorError
from dualtower_clients.proto import signature_pb2
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Servable", "SessionSettings", "load"]

_EXECUTORS = 64  # sets of inputs and outputs; an output filter makes one of its own
_VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable"})


@dataclass(frozen=True)
class SessionSettings:
    """How sessions are made.

    Attributes:
        intra_op_threads: of TensorFlow, within an op; 0: one for each core.
        inter_op_threads: of TensorFlow, ops beside each other; 0: one for each core.
        tags: which graph of the file to load.
        gpu_memory_fraction: of each GPU, at most; 0: what is needed.
        config_file: a ConfigProto in protobuf's text format that the rest is laid over.
    """

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    tags: tuple[str, ...] = ("serve",)
    gpu_memory_fraction: float = 0.0
    config_file: str = ""

    def config(self) -> Any:
        """The ConfigProto.

        Raises:
            StatusError: the file cannot be read.
        """
        config = config_pb2.ConfigProto()
        if self.config_file:
            try:
                with open(self.config_file, encoding="utf-8") as stream:
                    text_format.Parse(stream.read(), config)
            except OSError as error:
                raise StatusError(
                    Code.NOT_FOUND,
                    f"cannot read the session config file {self.config_file}: {error.strerror}",
                ) from error
            except (text_format.ParseError, UnicodeDecodeError) as error:
                raise StatusError(
                    Code.INVALID_ARGUMENT, f"Invalid protobuf file: '{self.config_file}': {error}"
                ) from error
        config.intra_op_parallelism_threads = (
            self.intra_op_threads or config.intra_op_parallelism_threads
        )
        config.inter_op_parallelism_threads = (
            self.inter_op_threads or config.inter_op_parallelism_threads
        )
        if self.gpu_memory_fraction:
            config.gpu_options.per_process_gpu_memory_fraction = self.gpu_memory_fraction
        else:
            config.gpu_options.allow_growth = True  # a GPU is shared with whoever runs beside us
        return config


class Servable:
    """A session with its signatures. Threads may share it. Made by `load`."""

    def __init__(self, session: Any, signatures: Mapping[str, signature_pb2.SignatureDef]) -> None:
        self.signatures = signatures
        self.defaults = {name: _defaults_of(one) for name, one in signatures.items()}
        self._session = session
        self._tensors: dict[str, Any] = {}  # TensorFlow's handles, by name
        self._seen: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
        self._running = 0
        self._idle = threading.Condition()
        self._closed = False

    def run(
        self,
        feeds: Mapping[str, NDArray[Any]],
        fetches: Sequence[str],
        *,
        timeout_ms: int = 0,
    ) -> list[NDArray[Any]]:
        """Computes tensors of the graph, without Python's lock.

        Args:
            feeds: arrays by tensor name.
            fetches: names of tensors, each once.
            timeout_ms: the run is stopped after this time; 0: never.

        Raises:
            StatusError: what TensorFlow raised, with its code and text; DEADLINE_EXCEEDED where
                the time was over.
        """
        with self._idle:
            if self._closed:
                raise StatusError(Code.UNAVAILABLE, "this version has been unloaded")
            self._running += 1
        try:
            asked = self._bounded(tuple(feeds), tuple(fetches))
            with _tensorflow_errors():
                values = self._run(feeds, asked, timeout_ms)
        finally:
            with self._idle:
                self._running -= 1
                if not self._running:
                    self._idle.notify_all()
        if asked == tuple(fetches):
            return [_array_of(value) for value in values]
        by_name = dict(zip(asked, values, strict=True))
        return [_array_of(by_name[name]) for name in fetches]

    def close(self) -> None:
        """Frees the session, once the runs in it have ended."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._running)
        self._session.close()

    def _run(
        self, feeds: Mapping[str, NDArray[Any]], fetches: Sequence[str], timeout_ms: int
    ) -> list[Any]:
        fed = {self._tensor(name): array for name, array in feeds.items()}
        fetched = [self._tensor(name) for name in fetches]
        options = None
        if timeout_ms:
            run_options = config_pb2.RunOptions(timeout_in_ms=timeout_ms)
            options = pywrap_tf_session.TF_NewBufferFromString(run_options.SerializeToString())
        try:
            found: list[Any] = pywrap_tf_session.TF_SessionRun_wrapper(
                self._session._session, options, fed, fetched, [], None
            )
        finally:
            if options is not None:
                pywrap_tf_session.TF_DeleteBuffer(options)
        return found

    def _tensor(self, name: str) -> Any:
        """TensorFlow's handle of a tensor; "op" means "op:0", as in a session."""
        handle = self._tensors.get(name)
        if handle is not None:
            return handle
        op_name, _, index = name.partition(":")
        try:
            op = self._session.graph.get_operation_by_name(op_name)
        except (KeyError, ValueError) as error:
            raise StatusError(Code.NOT_FOUND, f"FetchOutputs node {name}: not found") from error
        if int(index or 0) >= len(op.outputs):
            raise StatusError(
                Code.OUT_OF_RANGE,
                f"FetchOutputs {name}: output index too large, must be < {len(op.outputs)}",
            )
        handle = self._tensors[name] = op.outputs[int(index or 0)]._as_tf_output()
        return handle

    def _bounded(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> tuple[str, ...]:
        """What is fetched: the session keeps an executor for each set that it has ever been asked
        for, so from some number on a filter is applied to the whole answer of its signature."""
        key = (feeds, fetches)
        if key in self._seen or len(self._seen) < _EXECUTORS:
            self._seen.add(key)
            return fetches
        wanted = set(fetches)
        for signature in self.signatures.values():
            outputs = dict.fromkeys(info.name for info in signature.outputs.values())
            inputs = {info.name for info in signature.inputs.values()}
            if inputs == set(feeds) and wanted <= set(outputs):
                return tuple(sorted(outputs))
        return fetches


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
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=settings.config())
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
