"""Predict on a loaded version: the checks of TensorFlow Serving, in its order and its words.

    signature → method name → number and names of inputs → tensors → output filter → run

Pure but for the run itself, so that every front (gRPC, warm-up, tests) gives the same answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from dualtower_clients import codec
from dualtower_clients.errors import TensorError
from dualtower_clients.proto import inference_pb2, signature_pb2
from dualtower_serving.embedded.execution import Call, LoadedModel, off_loop
from dualtower_serving.embedded.in_flight import InFlight
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
    """The flags that change an answer.

    Attributes:
        as_tensor_content: outputs as bytes, not value by value.
        check_method_name: a signature must be of a known kind.
        max_tensor_bytes: the most that a short list of values may be filled up to.
        in_flight: what all running requests may hold.
    """

    as_tensor_content: bool = False
    check_method_name: bool = False
    max_tensor_bytes: int = codec.MAX_FILL_BYTES
    in_flight: InFlight = field(default_factory=InFlight)


async def predict(
    model: LoadedModel,
    version: int,
    request: inference_pb2.PredictRequest,
    settings: AnswerSettings,
    call: Call,
    *,
    ran: Callable[[int], None] = lambda elapsed_ns: None,
) -> inference_pb2.PredictResponse:
    """Answers a PredictRequest with this version.

    Args:
        model: the version.
        version: its number, for the answer.
        request: what is asked.
        settings: flags.
        call: its deadline.
        ran: told how long the graph ran, in nanoseconds.

    Raises:
        StatusError: the request is wrong, or the graph failed.
    """
    name = request.model_spec.signature_name or _DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    if settings.check_method_name and signature.method_name not in _METHOD_NAMES:
        raise StatusError(
            Code.INTERNAL,
            "Expected prediction signature method_name to be one of "
            f"{{{', '.join(_METHOD_NAMES)}}}. Was: {signature.method_name}",
        )
    feeds = await off_loop(
        call.size_bytes, _feeds, request, signature, model.defaults[name], settings
    )
    aliases = _outputs(request, signature)
    # two aliases may name one tensor, which is fetched once
    fetches = list(dict.fromkeys(signature.outputs[alias].name for alias in aliases))
    with settings.in_flight.hold(sum(array.nbytes for array in feeds.values())):
        begin_ns = time.perf_counter_ns()
        found = await model.runner.run(feeds, fetches, call)
        ran(time.perf_counter_ns() - begin_ns)
    arrays = dict(zip(fetches, found, strict=True))
    by_alias = {alias: arrays[signature.outputs[alias].name] for alias in aliases}
    return await off_loop(
        sum(array.nbytes for array in found), _response, request, version, name, by_alias, settings
    )


def _response(
    request: inference_pb2.PredictRequest,
    version: int,
    signature_name: str,
    arrays: Mapping[str, NDArray[Any]],
    settings: AnswerSettings,
) -> inference_pb2.PredictResponse:
    response = inference_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = signature_name
    for alias, array in arrays.items():
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
    settings: AnswerSettings,
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
            feeds[signature.inputs[alias].name] = codec.decode(
                request.inputs[alias], max_fill_bytes=settings.max_tensor_bytes
            )
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
