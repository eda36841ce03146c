"""Reads the bytes of responses into results. Pure: the same for every kind of client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from dualtower_clients import _dtypes, _predict_bytes, codec
from dualtower_clients._calls import CallFacts, Reply
from dualtower_clients.errors import ResponseError, TensorError
from dualtower_clients.proto import (
    examples_pb2,
    inference_pb2,
    management_pb2,
    signature_pb2,
)
from dualtower_clients.results import (
    Classification,
    Classifications,
    Description,
    ModelMetadata,
    Prediction,
    Recommendation,
    Regressions,
    Signature,
    TensorSpec,
    VersionStatus,
)

__all__ = [
    "classifications",
    "description",
    "metadata",
    "multi_inference",
    "prediction",
    "recommendations",
    "regressions",
    "status",
    "vectors",
]

M = TypeVar("M", bound=Message)


def prediction(reply: Reply, facts: CallFacts) -> Prediction:
    """The outputs of a PredictResponse as arrays."""
    try:
        spec, tensors = _predict_bytes.read_response(reply.raw)
    except DecodeError as error:
        raise _unreadable(f"its {len(reply.raw)} bytes are no PredictResponse", facts) from error
    outputs = {}
    for alias in sorted(tensors):
        try:
            outputs[alias] = codec.decode(tensors[alias])
        except TensorError as error:
            raise _unreadable(f"output {alias!r}: {error}", facts) from error
    return Prediction(outputs, *_origin(spec, reply), instance=reply.instance)


def classifications(reply: Reply, facts: CallFacts) -> Classifications:
    """The labels and scores of a ClassificationResponse."""
    response = _parse(examples_pb2.ClassificationResponse, reply.raw, facts)
    return _classifications(response.result, response.model_spec, reply)


def regressions(reply: Reply, facts: CallFacts) -> Regressions:
    """The values of a RegressionResponse."""
    response = _parse(examples_pb2.RegressionResponse, reply.raw, facts)
    return _regressions(response.result, response.model_spec, reply)


def multi_inference(
    reply: Reply, facts: CallFacts, signatures: Sequence[str]
) -> dict[str, Classifications | Regressions]:
    """The results of a MultiInferenceResponse, by the signatures that were asked for."""
    response = _parse(examples_pb2.MultiInferenceResponse, reply.raw, facts)
    if len(response.results) != len(signatures):
        raise _unreadable(f"{len(response.results)} results of {len(signatures)} tasks", facts)
    found: dict[str, Classifications | Regressions] = {}
    for signature, one in zip(signatures, response.results, strict=True):
        kind = one.WhichOneof("result")
        if kind is None:
            raise _unreadable(f"no result of signature {signature!r}", facts)
        if kind == "classification_result":
            found[signature] = _classifications(one.classification_result, one.model_spec, reply)
        else:
            found[signature] = _regressions(one.regression_result, one.model_spec, reply)
    return found


def metadata(reply: Reply, facts: CallFacts) -> ModelMetadata:
    """The signatures in a GetModelMetadataResponse.

    The server packs them into an Any with TensorFlow Serving's own type name. Only its bytes are
    read, so that no type of that name has to exist in this process.
    """
    response = _parse(inference_pb2.GetModelMetadataResponse, reply.raw, facts)
    if "signature_def" not in response.metadata:
        raise _unreadable("it holds no signatures", facts)
    packed = response.metadata["signature_def"].value
    signatures = _parse(signature_pb2.SignatureDefMap, packed, facts).signature_def
    return ModelMetadata(
        response.model_spec.name,
        response.model_spec.version.value,
        {name: _signature(signatures[name], facts) for name in sorted(signatures)},
    )


def status(reply: Reply, facts: CallFacts) -> tuple[VersionStatus, ...]:
    """The versions of a GetModelStatusResponse, highest first."""
    response = _parse(management_pb2.GetModelStatusResponse, reply.raw, facts)
    return tuple(
        VersionStatus(
            one.version,
            _enum_name(management_pb2.ModelVersionStatus.State, one.state),
            _enum_name(management_pb2.Code, one.status.error_code),
            one.status.error_message,
        )
        for one in response.model_version_status
    )


def description(answer: Prediction, facts: CallFacts) -> Description:
    """What a `describe` signature said."""

    def text(alias: str) -> str:
        value = _first(answer, alias, facts)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def number(alias: str) -> int:
        value = _first(answer, alias, facts)
        if not isinstance(value, (int, np.integer)):
            raise _unreadable(f"{alias!r} of its description is {value!r}, no integer", facts)
        return int(value)

    return Description(
        model=facts.model,
        fingerprint=text("fingerprint"),
        version=answer.version,
        bundle_version=number("bundle_version"),
        dim=number("dim"),
        history_items=number("history_items"),
        item_tokens=number("item_tokens"),
        k_max=number("k_max"),
    )


def recommendations(
    answer: Prediction, *, rows: int, k: int, fingerprint: str, facts: CallFacts
) -> list[Recommendation]:
    """The first `k` items of each row; the empty tail of a short list is cut off."""
    item_ids = _output(answer, "item_ids", rows, facts)
    scores = _output(answer, "scores", rows, facts)
    if item_ids.shape != scores.shape:
        raise _unreadable(f"{item_ids.shape} item ids with {scores.shape} scores", facts)
    found = []
    for row_ids, row_scores in zip(item_ids[:, :k].tolist(), scores[:, :k], strict=True):
        count = row_ids.index(b"") if b"" in row_ids else len(row_ids)
        ids = tuple(value.decode("utf-8", "replace") for value in row_ids[:count])
        found.append(
            Recommendation(
                ids,
                row_scores[:count],
                answer.version,
                fingerprint,
                answer.elapsed_ms,
                answer.address,
                answer.attempts,
            )
        )
    return found


def vectors(answer: Prediction, *, rows: int, dim: int, facts: CallFacts) -> NDArray[Any]:
    """The output `embedding`, [rows, dim] float32."""
    embedding = _output(answer, "embedding", rows, facts)
    if embedding.shape[1] != dim:
        raise _unreadable(f"embeddings of {embedding.shape[1]} numbers, described as {dim}", facts)
    return embedding


def _origin(
    spec: inference_pb2.ModelSpec, reply: Reply
) -> tuple[str, int, str, float, str, int, int]:
    """The fields that all results end with."""
    return (
        spec.name,
        spec.version.value,
        spec.signature_name,
        reply.elapsed_ms,
        reply.address,
        reply.attempts,
        reply.failures,
    )


def _classifications(
    result: examples_pb2.ClassificationResult, spec: inference_pb2.ModelSpec, reply: Reply
) -> Classifications:
    examples = tuple(
        Classification(
            tuple(one.label for one in row.classes),
            np.array([one.score for one in row.classes], np.float32),
        )
        for row in result.classifications
    )
    return Classifications(examples, *_origin(spec, reply))


def _regressions(
    result: examples_pb2.RegressionResult, spec: inference_pb2.ModelSpec, reply: Reply
) -> Regressions:
    values = np.array([one.value for one in result.regressions], np.float32)
    return Regressions(values, *_origin(spec, reply))


def _signature(proto: signature_pb2.SignatureDef, facts: CallFacts) -> Signature:
    try:
        defaults = {alias: codec.decode(proto.defaults[alias]) for alias in sorted(proto.defaults)}
    except TensorError as error:
        raise _unreadable(f"a default: {error}", facts) from error
    return Signature(_specs(proto.inputs), _specs(proto.outputs), proto.method_name, defaults)


def _specs(infos: Mapping[str, signature_pb2.TensorInfo]) -> dict[str, TensorSpec]:
    specs = {}
    for alias in sorted(infos):
        shape = infos[alias].tensor_shape
        sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        specs[alias] = TensorSpec(_dtypes.name_of(infos[alias].dtype), sizes)
    return specs


def _output(answer: Prediction, alias: str, rows: int, facts: CallFacts) -> NDArray[Any]:
    array = answer.outputs.get(alias)
    if array is None:
        raise _unreadable(f"no output {alias!r}, only {', '.join(answer.outputs)}", facts)
    if array.ndim != 2 or array.shape[0] != rows:
        raise _unreadable(f"output {alias!r} of shape {array.shape} for {rows} rows", facts)
    return array


def _first(answer: Prediction, alias: str, facts: CallFacts) -> Any:
    array = answer.outputs.get(alias)
    if array is None or array.size == 0:
        raise _unreadable(f"its description has no {alias!r}", facts)
    return array.flat[0]


def _enum_name(kind: Any, number: int) -> str:
    try:
        return str(kind.Name(number))
    except ValueError:
        return str(number)


def _parse(kind: type[M], raw: bytes, facts: CallFacts) -> M:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise _unreadable(f"its {len(raw)} bytes are no {kind.__name__}", facts) from error


def _unreadable(what: str, facts: CallFacts) -> ResponseError:
    return ResponseError(
        f"the answer of model {facts.model!r} at {facts.address} cannot be used: {what}; "
        "is it a model server of this bundle?",
        address=facts.address,
        model=facts.model,
        attempts=facts.attempts,
    )
