"""The body of a `:classify` or `:regress` call as examples.

    {"signature_name": ..., "context": {...}, "examples": [{"feature": value or list}, ...]}

The JSON type decides the feature's: strings and base64 objects are bytes, numbers with a point or
an exponent are floats, integers and booleans are int64; one list has one type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dualtower_clients.proto import examples_pb2
from dualtower_serving.embedded import rest_base64
from dualtower_serving.embedded.rest_json import Members, bytes_of, find
from dualtower_serving.embedded.rest_json_text import is_integer, text_of, type_name
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["input_of"]

_MAX_INT64 = (1 << 63) - 1
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def input_of(document: Members) -> examples_pb2.Input:
    """The examples of a body, with their context.

    Raises:
        StatusError: INVALID_ARGUMENT, the first thing that is wrong.
    """
    made = examples_pb2.Input()
    context = find(document, "context")
    if context:
        _fill(made.example_list_with_context.context, context[0])
    examples = find(document, "examples")
    if not examples:
        raise _format_error(
            document, "When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(examples[0], list):
        raise _format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples[0]:
        raise _format_error(document, "'examples' value is an empty array")
    into = made.example_list_with_context if context else made.example_list
    for one in examples[0]:
        _fill(into.examples.add(), one)
    return made


def _fill(example: examples_pb2.Example, value: Any) -> None:
    if not isinstance(value, tuple):
        raise _error(f"Example must be JSON object but got JSON {type_name(value)}")
    example.features.SetInParent()
    for name, content in value:
        feature = examples_pb2.Feature()
        for one in content if isinstance(content, list) else [content]:
            _add(feature, name, one)
        example.features.feature[_text(name)].CopyFrom(feature)  # of two, the last one counts


def _add(feature: examples_pb2.Feature, name: str, value: Any) -> None:
    if isinstance(value, bool):
        _list_of(feature, name, "int64_list").append(int(value))
    elif isinstance(value, str):
        _list_of(feature, name, "bytes_list").append(bytes_of(value))
    elif rest_base64.is_object(value):
        _list_of(feature, name, "bytes_list").append(rest_base64.decode_object(value))
    elif is_integer(value):
        values = _list_of(feature, name, "int64_list")
        if value > _MAX_INT64:
            raise _error(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        values.append(value)
    elif isinstance(value, int | float):
        with np.errstate(over="ignore"):
            _list_of(feature, name, "float_list").append(float(np.float32(float(value))))
    else:
        raise _error(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _list_of(feature: examples_pb2.Feature, name: str, kind: str) -> Any:
    """The values of a feature, which has no other kind of values yet."""
    held = feature.WhichOneof("kind")
    if held not in (None, kind):
        raise _error(f"Unexpected element type in feature: {name} expecting type: {_KINDS[held]}")
    return getattr(feature, kind).value


def _text(name: str) -> str:
    """A string that protobuf takes."""
    return bytes_of(name).decode("utf-8", "replace")


def _error(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _format_error(document: Members, message: str) -> StatusError:
    return _error(f"JSON Value: {text_of(document)} {message}")
