"""Builds the bytes of requests. Pure: the same for every kind of client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from dualtower.errors import UsageError
from dualtower_clients import _given, _predict_bytes
from dualtower_clients._messages import read_message
from dualtower_clients._predict_bytes import Input
from dualtower_clients.proto import inference_pb2, management_pb2

__all__ = [
    "beyond",
    "exclude_rows",
    "history_rows",
    "metadata",
    "model_spec",
    "predict",
    "server_config",
    "status",
]

_MAX_VERSION = (1 << 63) - 1
_EXCLUDE_WIDTH = 8  # the smallest; widths double, so that requests share a server's batch


def model_spec(
    model: str, *, version: int | None = None, label: str | None = None, signature: str = ""
) -> inference_pb2.ModelSpec:
    """Which model, which version of it, which signature.

    Raises:
        UsageError: a name that is none, no version that there can be, or a version and a label.
    """
    if not model:
        raise UsageError("a model has to be named")
    if version is not None and label is not None:
        raise UsageError(f"give a version or a label of {model!r}, not both")
    spec = inference_pb2.ModelSpec(
        name=_name(model, "model"), signature_name=_name(signature, "signature")
    )
    if version is not None:
        if not 0 <= _given.count(version, "version") <= _MAX_VERSION:
            raise UsageError(f"version must be between 0 and {_MAX_VERSION}, got {version}")
        spec.version.value = version
    if label is not None:
        spec.version_label = _name(label, "label")
    return spec


def predict(
    spec: inference_pb2.ModelSpec, inputs: Mapping[str, Input], outputs: Iterable[str]
) -> bytes:
    """A PredictRequest; `outputs` empty asks for all of them.

    Raises:
        UsageError: names that are none.
        TensorError: an input cannot travel.
    """
    if not isinstance(inputs, Mapping):
        raise UsageError(
            f"inputs is a mapping of names to arrays, such as {{'x': array}}, got {inputs!r:.100}"
        )
    for alias in inputs:
        _name(alias, "an input")
    if isinstance(outputs, (str, bytes)) or not isinstance(outputs, Iterable):
        raise UsageError(
            f"outputs is a list of names, got {outputs!r}; "
            "give one name as [name], or leave outputs out for all of them"
        )
    outputs = [_name(alias, "an output") for alias in outputs]
    return _predict_bytes.write_request(spec, inputs, outputs)


def metadata(spec: inference_pb2.ModelSpec) -> bytes:
    """A GetModelMetadataRequest for the signatures."""
    return inference_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"]
    ).SerializeToString()


def status(spec: inference_pb2.ModelSpec) -> bytes:
    """A GetModelStatusRequest."""
    return management_pb2.GetModelStatusRequest(model_spec=spec).SerializeToString()


def server_config(config: Message | bytes) -> management_pb2.ModelServerConfig:
    """A server's configuration: our message, TensorFlow Serving's, or their bytes."""
    return read_message(config, management_pb2.ModelServerConfig, "config")


def history_rows(histories: Sequence[Sequence[str]], items: int) -> list[list[str]]:
    """Each history cut to its first `items` different entries, and filled up with ""."""
    rows = []
    for history in histories:
        if isinstance(history, (str, bytes)):
            raise UsageError(f"a history is a list of strings, got the string {history!r}")
        row = [entry for entry in dict.fromkeys(history) if entry][:items]
        rows.append(row + [""] * (items - len(row)))
    return rows


def beyond(history: Sequence[str], items: int) -> list[str]:
    """The different entries of a history that `history_rows` cuts off."""
    return [entry for entry in dict.fromkeys(history) if entry][items:]


def exclude_rows(excluded: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows of one width, filled up with "": 8, 16, 32, ..., the least that holds the longest.

    Each row begins with "". A server that batches requests of different widths fills the narrower
    one up with its own first element (tensorflow/serving#1279), and an id there would be excluded
    for every row.
    """
    width = _EXCLUDE_WIDTH
    while width <= max((len(row) for row in excluded), default=0):
        width *= 2
    return [["", *row, *[""] * (width - 1 - len(row))] for row in excluded]


def _name(given: Any, what: str) -> str:
    if not isinstance(given, str):
        raise UsageError(f"{what} is named by a text, got {given!r:.100}")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} has a name that UTF-8 cannot hold: {given!r}") from error
    return given
