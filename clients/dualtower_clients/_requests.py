"""Builds the bytes of requests. Pure: the same for every kind of client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from numpy.typing import ArrayLike

from dualtower.errors import UsageError
from dualtower_clients import _predict_bytes
from dualtower_clients.proto import inference_pb2, management_pb2

__all__ = ["beyond", "exclude_rows", "history_rows", "metadata", "model_spec", "predict", "status"]

_EXCLUDE_WIDTH = 8  # the smallest; widths double, so that requests share a server's batch


def model_spec(
    model: str, *, version: int | None = None, label: str | None = None, signature: str = ""
) -> inference_pb2.ModelSpec:
    """Which model, which version of it, which signature."""
    if not model:
        raise UsageError("a model has to be named")
    if version is not None and label is not None:
        raise UsageError(f"give a version or a label of {model!r}, not both")
    spec = inference_pb2.ModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def predict(
    spec: inference_pb2.ModelSpec, inputs: Mapping[str, ArrayLike], outputs: Iterable[str]
) -> bytes:
    """A PredictRequest; `outputs` empty asks for all of them."""
    return _predict_bytes.write_request(spec, inputs, outputs)


def metadata(spec: inference_pb2.ModelSpec) -> bytes:
    """A GetModelMetadataRequest for the signatures."""
    return inference_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"]
    ).SerializeToString()


def status(spec: inference_pb2.ModelSpec) -> bytes:
    """A GetModelStatusRequest."""
    return management_pb2.GetModelStatusRequest(model_spec=spec).SerializeToString()


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
