"""Requests made of examples: names and values, as Classify, Regress and MultiInference take. Pure.

{"age": 31, "clicks": [0.5, 2.0], "country": "CH"} ─► int64_list, float_list, bytes_list
tf.train.Example, or its bytes                     ─► as it is
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from google.protobuf.message import Message

from dualtower.errors import UsageError
from dualtower_clients._messages import is_message, read_message
from dualtower_clients.errors import TensorError
from dualtower_clients.proto import examples_pb2, inference_pb2

__all__ = ["Example", "Task", "classification", "multi_inference", "regression"]

# values are int, float, str, bytes, or a list or 1-D array of one of them
Example: TypeAlias = "Mapping[str, Any] | Message | bytes"
Task = Literal["classify", "regress"]

_METHOD_NAMES = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}


def classification(
    spec: inference_pb2.ModelSpec, examples: Sequence[Example], context: Example | None
) -> bytes:
    """A ClassificationRequest."""
    return examples_pb2.ClassificationRequest(
        model_spec=spec, input=_input(spec.name, examples, context)
    ).SerializeToString()


def regression(
    spec: inference_pb2.ModelSpec, examples: Sequence[Example], context: Example | None
) -> bytes:
    """A RegressionRequest."""
    return examples_pb2.RegressionRequest(
        model_spec=spec, input=_input(spec.name, examples, context)
    ).SerializeToString()


def multi_inference(
    specs: Mapping[str, inference_pb2.ModelSpec],
    tasks: Mapping[str, Task],
    examples: Sequence[Example],
    context: Example | None,
) -> bytes:
    """A MultiInferenceRequest; `specs` and `tasks` by signature."""
    if not tasks:
        raise UsageError("multi_inference needs at least one signature and its task")
    request = examples_pb2.MultiInferenceRequest()
    for signature, task in tasks.items():
        if task not in _METHOD_NAMES:
            raise UsageError(
                f"the task of signature {signature!r} must be one of {', '.join(get_args(Task))}; "
                f"got {task!r}"
            )
        request.tasks.add(model_spec=specs[signature], method_name=_METHOD_NAMES[task])
    request.input.CopyFrom(_input(next(iter(specs.values())).name, examples, context))
    return request.SerializeToString()


def _input(model: str, examples: Sequence[Example], context: Example | None) -> examples_pb2.Input:
    if isinstance(examples, (Mapping, str)) or is_message(examples):
        raise UsageError(f"examples are a list, got {examples!r:.100}; put it into a list")
    if not isinstance(examples, Iterable):
        raise UsageError(f"examples are a list of mappings, got {examples!r:.100}")
    listed = [_example(one, f"example {place} of {model!r}") for place, one in enumerate(examples)]
    if context is None:
        return examples_pb2.Input(example_list=examples_pb2.ExampleList(examples=listed))
    shared = _example(context, f"the context of {model!r}")
    return examples_pb2.Input(
        example_list_with_context=examples_pb2.ExampleListWithContext(
            examples=listed, context=shared
        )
    )


def _example(values: Example, where: str) -> examples_pb2.Example:
    if is_message(values):
        return read_message(values, examples_pb2.Example, where)
    if not isinstance(values, Mapping):
        raise UsageError(
            f"{where} must be a mapping of names to values, or a tf.train.Example, "
            f"got {values!r:.100}"
        )
    example = examples_pb2.Example()
    for name, value in values.items():
        try:
            feature = example.features.feature[name]
        except (TypeError, ValueError) as error:  # ValueError: half of a surrogate pair
            raise TensorError(f"{where} has a feature of the name {name!r}: {error}") from error
        _fill(feature, value, f"feature {name!r} of {where}")
    return example


def _fill(feature: examples_pb2.Feature, value: Any, where: str) -> None:
    """Writes one value or a list of them; the kind of the elements decides which list."""
    elements = _elements(value, where)
    kinds = {_kind(element) for element in elements}
    try:
        if not kinds:
            return
        if kinds == {int}:
            feature.int64_list.value.extend(int(element) for element in elements)
        elif kinds <= {int, float}:
            feature.float_list.value.extend(_floats(elements))
        elif kinds == {bytes}:
            feature.bytes_list.value.extend(_as_bytes(element) for element in elements)
        else:
            raise TypeError("a feature is a list of integers, of numbers, or of texts and bytes")
    except (TypeError, ValueError, OverflowError) as error:
        raise TensorError(f"{where} cannot be sent: {error}; got {value!r:.100}") from error


def _elements(value: Any, where: str) -> list[Any]:
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            raise TensorError(f"{where} has {value.ndim} dimensions; a feature is a flat list")
        return value.reshape(-1).tolist()
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _kind(element: Any) -> type:
    if isinstance(element, (int, np.integer, np.bool_)):
        return int
    if isinstance(element, (float, np.floating)):
        return float
    return bytes if isinstance(element, (str, bytes)) else object


def _floats(elements: list[Any]) -> list[float]:
    wide = np.array([float(element) for element in elements])
    with np.errstate(over="ignore"):
        lost = np.isfinite(wide) & ~np.isfinite(wide.astype(np.float32))
    if lost.any():
        raise OverflowError("features are float32, which holds no number as large")
    numbers: list[float] = wide.tolist()
    return numbers


def _as_bytes(element: str | bytes) -> bytes:
    return element.encode() if isinstance(element, str) else element
