"""Classify, Regress and MultiInference: requests of tf.Example, answers read from named outputs.

    examples (and the context that they share) ─► serialized strings [batch] ─► one run ─► results

The checks are TensorFlow Serving's, in its order and its words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_clients.proto import examples_pb2, inference_pb2, signature_pb2
from dualtower_serving.embedded.execution import Call, LoadedModel, off_loop
from dualtower_serving.embedded.predict import AnswerSettings
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["classify", "multi_inference", "regress"]

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
_DEFAULT_SIGNATURE = "serving_default"
_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"

Arrays = dict[str, NDArray[Any]]  # by tensor name
Ran = Callable[[int, int], None]  # told how many examples there were, and how long the graph ran


def _unwatched(examples: int, elapsed_ns: int) -> None:
    """For a caller who counts nothing."""


async def classify(
    model: LoadedModel,
    version: int,
    request: examples_pb2.ClassificationRequest,
    settings: AnswerSettings,
    call: Call,
    ran: Ran = _unwatched,
) -> examples_pb2.ClassificationResponse:
    """Labels and scores of each example.

    Raises:
        StatusError: the request is wrong, or the graph failed.
    """
    name, signature = _signature(model, request.model_spec)
    feed, fetches = _plan_classify(signature, settings)
    count, arrays = await _run(model, request.input, feed, fetches, settings, call, ran)
    response = examples_pb2.ClassificationResponse()
    response.result.CopyFrom(await off_loop(call.size_bytes, _classes, signature, arrays, count))
    _fill_spec(response.model_spec, request.model_spec.name, name, version)
    return response


async def regress(
    model: LoadedModel,
    version: int,
    request: examples_pb2.RegressionRequest,
    settings: AnswerSettings,
    call: Call,
    ran: Ran = _unwatched,
) -> examples_pb2.RegressionResponse:
    """One number for each example.

    Raises:
        StatusError: the request is wrong, or the graph failed.
    """
    name, signature = _signature(model, request.model_spec)
    feed, fetches = _plan_regress(signature, settings)
    count, arrays = await _run(model, request.input, feed, fetches, settings, call, ran)
    response = examples_pb2.RegressionResponse()
    response.result.CopyFrom(await off_loop(call.size_bytes, _values, signature, arrays, count))
    _fill_spec(response.model_spec, request.model_spec.name, name, version)
    return response


async def multi_inference(
    model: LoadedModel,
    version: int,
    request: examples_pb2.MultiInferenceRequest,
    settings: AnswerSettings,
    call: Call,
    ran: Ran = _unwatched,
) -> examples_pb2.MultiInferenceResponse:
    """Several signatures of one model over the same examples, in one run.

    Raises:
        StatusError: the request is wrong, or the graph failed.
    """
    names: list[str] = []
    feeds: list[str] = []
    fetches: list[str] = []
    for task in request.tasks:
        spec = task.model_spec
        if not spec.name:
            raise _invalid("Found ModelSpec with an empty model name.")
        if spec.name != request.tasks[0].model_spec.name:
            raise _invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = spec.signature_name or _DEFAULT_SIGNATURE
        if name in names:
            raise _invalid(f"Duplicate evaluation of signature: {name}")
        names.append(name)
        signature = model.signatures.get(name)
        if signature is None:
            raise _invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name == CLASSIFY:
            feed, outputs = _plan_classify(signature, settings)
        elif task.method_name == REGRESS:
            feed, outputs = _plan_regress(signature, settings)
        else:
            raise StatusError(
                Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}"
            )
        feeds.append(feed)
        fetches += outputs
    unique = sorted(set(fetches))
    count, arrays = await _run_all(model, request.input, set(feeds), unique, settings, call, ran)
    response = examples_pb2.MultiInferenceResponse()
    for name, task in zip(names, request.tasks, strict=True):
        result = response.results.add()
        if task.method_name == CLASSIFY:
            result.classification_result.CopyFrom(_classes(model.signatures[name], arrays, count))
        else:
            result.regression_result.CopyFrom(_values(model.signatures[name], arrays, count))
        _fill_spec(result.model_spec, task.model_spec.name, name, version)
    return response


def _signature(
    model: LoadedModel, spec: inference_pb2.ModelSpec
) -> tuple[str, signature_pb2.SignatureDef]:
    name = spec.signature_name or _DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise _invalid(f"No signature was found with the name: {name}")
    return name, signature


def _plan_classify(
    signature: signature_pb2.SignatureDef, settings: AnswerSettings
) -> tuple[str, list[str]]:
    """The tensor that is fed, and those that are fetched."""
    _check_method(signature, "classification", CLASSIFY, settings)
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise _invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if _INPUTS not in signature.inputs:
        raise _invalid(f"No classification inputs found in SignatureDef: {signature}")
    found = [alias for alias in (_CLASSES, _SCORES) if alias in signature.outputs]
    if not found:
        raise _invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature}'
        )
    return signature.inputs[_INPUTS].name, [signature.outputs[alias].name for alias in found]


def _plan_regress(
    signature: signature_pb2.SignatureDef, settings: AnswerSettings
) -> tuple[str, list[str]]:
    """The tensor that is fed, and the one that is fetched."""
    _check_method(signature, "regression", REGRESS, settings)
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    if _INPUTS not in signature.inputs:
        raise _invalid(f"No regression inputs found in SignatureDef: {signature}")
    if _OUTPUTS not in signature.outputs:
        raise _invalid(f"No regression outputs found in SignatureDef: {signature}")
    return signature.inputs[_INPUTS].name, [signature.outputs[_OUTPUTS].name]


def _check_method(
    signature: signature_pb2.SignatureDef, kind: str, method: str, settings: AnswerSettings
) -> None:
    if settings.check_method_name and signature.method_name != method:
        raise _invalid(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )


async def _run(
    model: LoadedModel,
    request: examples_pb2.Input,
    feed: str,
    fetches: Sequence[str],
    settings: AnswerSettings,
    call: Call,
    ran: Ran,
) -> tuple[int, Arrays]:
    unique = list(dict.fromkeys(fetches))
    return await _run_all(model, request, {feed}, unique, settings, call, ran)


async def _run_all(
    model: LoadedModel,
    request: examples_pb2.Input,
    feeds: set[str],
    fetches: Sequence[str],
    settings: AnswerSettings,
    call: Call,
    ran: Ran,
) -> tuple[int, Arrays]:
    """The number of examples, and the fetched arrays; every feed takes the same examples."""
    examples = await off_loop(call.size_bytes, _serialized, request)
    with settings.in_flight.hold(call.size_bytes):
        begin_ns = time.perf_counter_ns()
        found = await model.runner.run(dict.fromkeys(sorted(feeds), examples), fetches, call)
        ran(len(examples), time.perf_counter_ns() - begin_ns)
    return len(examples), dict(zip(fetches, found, strict=True))


def _serialized(request: examples_pb2.Input) -> NDArray[Any]:
    """Examples as strings [batch]; the context's bytes come first, so that the example's win."""
    kind = request.WhichOneof("kind")
    listed = getattr(request, kind).examples if kind else ()
    if not listed:
        raise _invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = request.example_list_with_context.context.SerializeToString()
    array = np.empty(len(listed), object)
    array[:] = [context + example.SerializeToString() for example in listed]
    return array


def _classes(
    signature: signature_pb2.SignatureDef, arrays: Arrays, count: int
) -> examples_pb2.ClassificationResult:
    labels = _matrix(signature, arrays, _CLASSES, count)
    scores = _matrix(signature, arrays, _SCORES, count)
    if labels is not None and scores is not None and labels.shape != scores.shape:
        raise _invalid(
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    result = examples_pb2.ClassificationResult()
    for row in range(count):
        classes = result.classifications.add().classes
        width = next(one.shape[1] for one in (labels, scores) if one is not None)
        for column in range(width):
            one = classes.add()
            if labels is not None:
                one.label = labels[row, column]
            if scores is not None:
                one.score = scores[row, column]
    return result


def _matrix(
    signature: signature_pb2.SignatureDef, arrays: Arrays, alias: str, count: int
) -> NDArray[Any] | None:
    """The output of an alias as [count, classes], labels as str; None where it has none."""
    if alias not in signature.outputs:
        return None
    array = arrays[signature.outputs[alias].name]
    if array.ndim != 2:
        raise _invalid(
            f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(array)}"
        )
    is_string = array.dtype.kind in "SUO"
    wanted = "DT_STRING" if alias == _CLASSES else "DT_FLOAT"
    if is_string != (alias == _CLASSES) or not (is_string or array.dtype == np.float32):
        raise _invalid(f"Expected {alias} Tensor of {wanted}. Got: {array.dtype}")
    if len(array) != count:
        raise _invalid(f"Expected {alias} output batch size of {count}. Got: {len(array)}")
    if is_string:
        texts = np.empty(array.shape, object)
        texts.ravel()[:] = [_text(value) for value in array.ravel().tolist()]
        return texts
    return array


def _values(
    signature: signature_pb2.SignatureDef, arrays: Arrays, count: int
) -> examples_pb2.RegressionResult:
    array = arrays[signature.outputs[_OUTPUTS].name]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape_text(array)}"
        )
    if len(array) != count:
        raise _invalid(
            f"Input batch size did not match output batch size: {count} vs. {len(array)}"
        )
    if array.dtype != np.float32:
        raise _invalid(f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype}")
    result = examples_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add().value = value
    return result


def _text(value: bytes | str) -> str:
    """A label; the field is UTF-8, so bytes that are not become replacement characters."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _shape_text(array: NDArray[Any]) -> str:
    return f"[{','.join(str(size) for size in array.shape)}]"


def _fill_spec(spec: inference_pb2.ModelSpec, model: str, signature: str, version: int) -> None:
    spec.name = model
    spec.version.value = version
    spec.signature_name = signature


def _invalid(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)
