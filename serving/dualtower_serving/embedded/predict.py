"""Predict on a loaded version: the checks of TensorFlow Serving, in its order and its words.

    signature → method name → number and names of inputs → tensors → output filter → run

Pure but for the run itself, so that every front (gRPC, warm-up, tests) gives the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from dualtower_clients import codec
from dualtower_clients.errors import TensorError
from dualtower_clients.proto import inference_pb2, signature_pb2
from dualtower_serving.embedded.servable import Servable
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["AnswerSettings", "predict"]

_DEFAULT_SIGNATURE = "serving_default"
_METHOD_NAMES = (
    "tensorflow/serving/classify",
    "tensorflow/serving/predict",
    "tensorflow/serving/regress",
)


@dataclass(frozen=True)
class AnswerSettings:
    """The flags that change an answer."""

    as_tensor_content: bool = False
    check_method_name: bool = False


def predict(
    servable: Servable,
    version: int,
    request: inference_pb2.PredictRequest,
    settings: AnswerSettings = AnswerSettings(),
) -> inference_pb2.PredictResponse:
    """Answers a PredictRequest with this version.

    Raises:
        StatusError: the request is wrong, or the graph failed.
    """
    name = request.model_spec.signature_name or _DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    if settings.check_method_name and signature.method_name not in _METHOD_NAMES:
        raise StatusError(
            Code.INTERNAL,
            "Expected prediction signature method_name to be one of "
            f"{{{', '.join(_METHOD_NAMES)}}}. Was: {signature.method_name}",
        )
    feeds = _feeds(request, signature, servable.defaults[name])
    aliases = _outputs(request, signature)
    # two aliases may name one tensor, which is fetched once
    fetches = list(dict.fromkeys(signature.outputs[alias].name for alias in aliases))
    arrays = dict(zip(fetches, servable.run(feeds, fetches), strict=True))
    response = inference_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = name
    for alias in aliases:
        array = arrays[signature.outputs[alias].name]
        try:
            response.outputs[alias].CopyFrom(
                codec.encode(array, string_content=True)
                if settings.as_tensor_content
                else codec.encode_values(array)
            )
        except TensorError as error:
            raise StatusError(Code.INTERNAL, f"output {alias}: {error}") from error
    return response


def _feeds(
    request: inference_pb2.PredictRequest,
    signature: signature_pb2.SignatureDef,
    defaults: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """Arrays by tensor name, in the order of the aliases."""
    sent, wanted = set(request.inputs), set(signature.inputs)
    missing = wanted - sent - set(defaults)
    if not len(wanted) - len(defaults) <= len(sent) <= len(wanted):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_set(sent)}) != len({_set(wanted)}). "
            f"Sent extra: {_set(sent - wanted)}. Missing but required: {_set(missing)}.",
        )
    for alias in sorted(missing):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) "
            "not found in request and no default value provided. "
            f"Inputs expected to be in the request {_set(sent)}, "
            f"or default input alias set: {','.join(sorted(defaults))}",
        )
    if sent - wanted:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            "Inputs contains invalid name. "
            f"Used request inputs: {','.join(sorted(sent & wanted))}, "
            f"request input: {','.join(sorted(sent))}",
        )
    feeds = {}
    for alias in sorted(wanted):
        if alias not in sent:
            feeds[signature.inputs[alias].name] = defaults[alias]
            continue
        try:
            feeds[signature.inputs[alias].name] = codec.decode(request.inputs[alias])
        except TensorError as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"tensor parsing error: {alias}") from error
    return feeds


def _outputs(
    request: inference_pb2.PredictRequest, signature: signature_pb2.SignatureDef
) -> list[str]:
    """The aliases to answer with: those of the filter, or all."""
    if not request.output_filter:
        return sorted(signature.outputs)
    aliases: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_set(signature.outputs)}.",
            )
        if alias in aliases:
            raise StatusError(Code.INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return sorted(aliases)


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
