"""Examples as the JSON of TensorFlow Serving's REST, for classify and regress. Pure.

    {"context": {...}, "examples": [{"feature": value or list}, ...]}

Texts and {"b64": "..."} are bytes, numbers with a point or an exponent are floats, whole numbers
and booleans are int64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.errors import UsageError
from dualtower_clients._json_tensors import bytes_of

__all__ = ["examples_of"]

_KIND = "an object of features, such as {'x': 1.0}"


def examples_of(body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The examples of a request, and what they share, as a client takes them.

    Raises:
        UsageError: there are none, or one is no object of features.
    """
    if not body["examples"]:
        raise UsageError("there are no examples")
    examples = [_example(one, f"example {place}") for place, one in enumerate(body["examples"])]
    context = body.get("context")
    return examples, None if context is None else _example(context, "the context")


def _example(given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UsageError(f"{where} must be {_KIND}, got {given!r:.100}")
    return {name: _feature(value, f"feature {name!r} of {where}") for name, value in given.items()}


def _feature(given: Any, where: str) -> Any:
    if isinstance(given, list):
        return [_value(one, where) for one in given]
    return _value(given, where)


def _value(given: Any, where: str) -> Any:
    if isinstance(given, (bool, int, float)):
        return given
    try:
        return bytes_of(given)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where} is a number, true or false, or a list of one kind of them; for bytes {error},"
            f" got {given!r:.100}"
        ) from error
