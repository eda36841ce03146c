"""From the bytes of a request to the bytes of its answer, by the models of a shelf. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from dualtower_clients import _dtypes, codec
from dualtower_clients.errors import TensorError
from dualtower_clients.proto import examples_pb2, inference_pb2, management_pb2, signature_pb2
from dualtower_clients.results import TensorSpec
from dualtower_clients.testing.calls import Call
from dualtower_clients.testing.models import FakeSignature, Refusal, Shelf

__all__ = ["ANSWERS", "seen"]

_METHOD_NAMES = {
    "tensorflow/serving/classify": "Classify",
    "tensorflow/serving/regress": "Regress",
}
_PREDICT_METHOD = "tensorflow/serving/predict"
_SIGNATURES_TYPE = "type.googleapis.com/tensorflow.serving.SignatureDefMap"

_REQUESTS: dict[str, Any] = {
    "Predict": inference_pb2.PredictRequest,
    "Classify": examples_pb2.ClassificationRequest,
    "Regress": examples_pb2.RegressionRequest,
    "GetModelMetadata": inference_pb2.GetModelMetadataRequest,
    "GetModelStatus": management_pb2.GetModelStatusRequest,
}


def seen(method: str, raw: bytes) -> Call:
    """What is asked, as far as the bytes can be read."""
    try:
        if method == "MultiInference":
            tasks = examples_pb2.MultiInferenceRequest.FromString(raw).tasks
            spec = tasks[0].model_spec if tasks else inference_pb2.ModelSpec()
        elif method in _REQUESTS:
            request = _REQUESTS[method].FromString(raw)
            spec = request.model_spec
        else:
            return Call(method)
        inputs = _arrays(request.inputs) if method == "Predict" else None
    except (DecodeError, TensorError):
        return Call(method)
    return Call(method, spec.name, spec.signature_name, _version(spec), _label(spec), inputs)


def _predict(raw: bytes, shelf: Shelf) -> bytes:
    request = inference_pb2.PredictRequest.FromString(raw)
    version, signature = _signature(shelf, request.model_spec)
    outputs = signature.run(_checked(signature, _arrays(request.inputs)))
    if not isinstance(outputs, Mapping):
        raise Refusal(
            "INTERNAL", f"a model's function gives arrays by alias, got {type(outputs).__name__}"
        )
    response = inference_pb2.PredictResponse(model_spec=_said(request.model_spec, version))
    for alias in request.output_filter or outputs:
        if alias not in outputs:
            raise Refusal(
                "INVALID_ARGUMENT", f"output tensor alias not found in signature: {alias}"
            )
        try:
            response.outputs[alias].CopyFrom(codec.encode_values(outputs[alias]))
        except TensorError as error:
            raise Refusal("INTERNAL", f"output {alias!r} of the function: {error}") from error
    return response.SerializeToString()


def _classify(raw: bytes, shelf: Shelf) -> bytes:
    request = examples_pb2.ClassificationRequest.FromString(raw)
    version, signature = _signature(shelf, request.model_spec)
    return examples_pb2.ClassificationResponse(
        result=_classified(signature, request.input), model_spec=_said(request.model_spec, version)
    ).SerializeToString()


def _regress(raw: bytes, shelf: Shelf) -> bytes:
    request = examples_pb2.RegressionRequest.FromString(raw)
    version, signature = _signature(shelf, request.model_spec)
    return examples_pb2.RegressionResponse(
        result=_regressed(signature, request.input), model_spec=_said(request.model_spec, version)
    ).SerializeToString()


def _multi_inference(raw: bytes, shelf: Shelf) -> bytes:
    request = examples_pb2.MultiInferenceRequest.FromString(raw)
    response = examples_pb2.MultiInferenceResponse()
    for task in request.tasks:
        version, signature = _signature(shelf, task.model_spec)
        result = response.results.add(model_spec=_said(task.model_spec, version))
        kind = _METHOD_NAMES.get(task.method_name)
        if kind == "Classify":
            result.classification_result.CopyFrom(_classified(signature, request.input))
        elif kind == "Regress":
            result.regression_result.CopyFrom(_regressed(signature, request.input))
        else:
            raise Refusal("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
    return response.SerializeToString()


def _metadata(raw: bytes, shelf: Shelf) -> bytes:
    request = inference_pb2.GetModelMetadataRequest.FromString(raw)
    spec = request.model_spec
    version, model = shelf.find(spec.name, _version(spec), _label(spec))
    found = signature_pb2.SignatureDefMap()
    for name, signature in model.signatures.items():
        proto = found.signature_def[name]
        proto.method_name = _PREDICT_METHOD
        _describe(proto.inputs, signature.inputs)
        _describe(proto.outputs, signature.outputs)
        for alias, value in signature.defaults.items():
            proto.defaults[alias].CopyFrom(codec.encode(value))
    response = inference_pb2.GetModelMetadataResponse(model_spec=_said(spec, version))
    packed = response.metadata["signature_def"]
    packed.type_url, packed.value = _SIGNATURES_TYPE, found.SerializeToString()
    return response.SerializeToString()


def _status(raw: bytes, shelf: Shelf) -> bytes:
    spec = management_pb2.GetModelStatusRequest.FromString(raw).model_spec
    asked = _version(spec)
    states = shelf.states(spec.name)
    if asked is not None:
        states = {version: state for version, state in states.items() if version == asked}
    if not states:
        raise Refusal("NOT_FOUND", f"Could not find any versions of model {spec.name}")
    response = management_pb2.GetModelStatusResponse()
    for version, state in states.items():
        response.model_version_status.add(
            version=version, state=management_pb2.ModelVersionStatus.State.Value(state)
        )
    return response.SerializeToString()


def _reload(raw: bytes, shelf: Shelf) -> bytes:
    """Labels move, and what is not named is unloaded. No model comes from a base path."""
    configs = management_pb2.ReloadConfigRequest.FromString(raw).config.model_config_list.config
    for config in configs:
        states = shelf.states(config.name)
        if not states:
            raise Refusal("NOT_FOUND", f"the fake server has no model {config.name}; add_model it")
        for label, version in config.version_labels.items():
            if states.get(version) != "AVAILABLE":
                raise Refusal(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to  version {version} of model {config.name}, "
                    "which is not currently available for inference",
                )
            shelf.set_label(config.name, label, version)
    shelf.keep({config.name for config in configs})
    return management_pb2.ReloadConfigResponse().SerializeToString()


ANSWERS: dict[str, Callable[[bytes, Shelf], bytes]] = {
    "/tensorflow.serving.PredictionService/Predict": _predict,
    "/tensorflow.serving.PredictionService/Classify": _classify,
    "/tensorflow.serving.PredictionService/Regress": _regress,
    "/tensorflow.serving.PredictionService/MultiInference": _multi_inference,
    "/tensorflow.serving.PredictionService/GetModelMetadata": _metadata,
    "/tensorflow.serving.ModelService/GetModelStatus": _status,
    "/tensorflow.serving.ModelService/HandleReloadConfigRequest": _reload,
}


def _version(spec: inference_pb2.ModelSpec) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _label(spec: inference_pb2.ModelSpec) -> str | None:
    return spec.version_label or None


def _said(spec: inference_pb2.ModelSpec, version: int) -> inference_pb2.ModelSpec:
    """Who answered, as the response names it."""
    said = inference_pb2.ModelSpec(name=spec.name, signature_name=spec.signature_name)
    said.version.value = version
    return said


def _signature(shelf: Shelf, spec: inference_pb2.ModelSpec) -> tuple[int, FakeSignature]:
    version, model = shelf.find(spec.name, _version(spec), _label(spec))
    name = spec.signature_name or "serving_default"
    if name not in model.signatures:
        raise Refusal("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
    return version, model.signatures[name]


def _arrays(tensors: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {alias: codec.decode(tensors[alias]) for alias in sorted(tensors)}


def _checked(signature: FakeSignature, sent: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the function gets: defaults filled in, and held to what the signature says."""
    inputs = {
        **{alias: np.asarray(value) for alias, value in signature.defaults.items()},
        **sent,
    }
    if signature.inputs and set(inputs) != set(signature.inputs):
        raise Refusal(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(sent)}!={len(signature.inputs)} "
            f"sent {sorted(sent)}, wanted {sorted(signature.inputs)}",
        )
    for alias, array in sent.items():
        wanted = signature.inputs.get(alias)
        if wanted is not None and _dtype_of(array) != wanted.dtype:
            raise Refusal(
                "INVALID_ARGUMENT",
                f"input {alias} is {_dtype_of(array)}, the signature wants {wanted.dtype}",
            )
    return inputs


def _dtype_of(array: NDArray[Any]) -> str:
    return "string" if array.dtype == object else array.dtype.name


def _describe(infos: Any, specs: Mapping[str, TensorSpec]) -> None:
    for alias, spec in specs.items():
        kind = _dtypes.by_name(spec.dtype)
        if kind is None:
            raise Refusal("INTERNAL", f"{alias}: dtype {spec.dtype} is none of {_dtypes.NAMES}")
        infos[alias].name = f"{alias}:0"
        infos[alias].dtype = kind.number
        if spec.shape is None:
            infos[alias].tensor_shape.unknown_rank = True
        for size in spec.shape or ():
            infos[alias].tensor_shape.dim.add(size=size)


def _examples(sent: examples_pb2.Input) -> NDArray[np.object_]:
    """Each example as a dict of lists, its context's features below its own."""
    shared = sent.example_list_with_context
    context = _features(shared.context) if sent.HasField("example_list_with_context") else {}
    examples = [*sent.example_list.examples, *shared.examples]
    rows = np.empty(len(examples), object)
    for place, example in enumerate(examples):
        rows[place] = {**context, **_features(example)}
    return rows


def _features(example: examples_pb2.Example) -> dict[str, list[Any]]:
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


def _classified(
    signature: FakeSignature, sent: examples_pb2.Input
) -> examples_pb2.ClassificationResult:
    outputs = signature.run({"examples": _examples(sent)})
    scores = np.asarray(outputs["scores"])
    classes = np.asarray(outputs.get("classes", np.full(scores.shape, "")))
    result = examples_pb2.ClassificationResult()
    for labels, row in zip(classes.tolist(), scores.tolist(), strict=True):
        one = result.classifications.add()
        for label, score in zip(labels, row, strict=True):
            one.classes.add(label=label, score=score)
    return result


def _regressed(signature: FakeSignature, sent: examples_pb2.Input) -> examples_pb2.RegressionResult:
    outputs = signature.run({"examples": _examples(sent)})
    result = examples_pb2.RegressionResult()
    for value in np.asarray(outputs["outputs"]).reshape(-1).tolist():
        result.regressions.add(value=value)
    return result
