"""Answers as JSON: `predictions` in rows, `outputs` in columns, `results` of examples.

One output has no name around it. Strings are text; bytes that are no UTF-8, and outputs whose
alias ends in `_bytes`, are `{"b64": ...}`: the stock server writes the former raw, which is no
valid JSON.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from operator import add
from typing import Any

import orjson
from numpy.typing import NDArray

from dualtower_clients.proto import examples_pb2
from dualtower_serving.embedded.rest_numbers import float_text, float_texts
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["classifications", "columns", "error", "regressions", "rows", "string"]

_BYTES_SUFFIX = "_bytes"
_FLOATS = ("float32", "float64")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool")
_NAMES = {"float16": "half"}


def rows(outputs: Mapping[str, NDArray[Any]]) -> bytes:
    """The answer to `instances`: one value, or one object of all outputs, a row.

    Raises:
        StatusError: INVALID_ARGUMENT, the outputs do not share a first dimension, or cannot be
            written.
    """
    count = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise _error(f"Tensor name: {name} has no shape information ")
        if count is not None and len(array) != count:
            raise _error(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}"
            )
        count = len(array)
    if count is None:
        raise _error("Cannot convert empty tensor map to JSON")
    texts = [_texts(array, keep=1, as_bytes=_is_bytes(name)) for name, array in outputs.items()]
    if len(texts) == 1:
        return _wrapped("predictions", _list(texts[0]))
    heads = [f"{string(name.encode())}: " for name in outputs]
    return _wrapped(
        "predictions",
        _list(f"{{{', '.join(map(add, heads, row))}}}" for row in zip(*texts, strict=True)),
    )


def columns(outputs: Mapping[str, NDArray[Any]]) -> bytes:
    """The answer to `inputs`: one value, or one object of all outputs.

    Raises:
        StatusError: INVALID_ARGUMENT, an output cannot be written.
    """
    if not outputs:
        raise _error("Cannot convert empty tensor map to JSON")
    texts = {
        name: _texts(array, keep=0, as_bytes=_is_bytes(name))[0] for name, array in outputs.items()
    }
    if len(texts) == 1:
        return _wrapped("outputs", *texts.values())
    members = (f"{string(name.encode())}: {text}" for name, text in texts.items())
    return _wrapped("outputs", f"{{{', '.join(members)}}}")


def classifications(result: examples_pb2.ClassificationResult) -> bytes:
    """The labels and scores of each example.

    Raises:
        StatusError: INVALID_ARGUMENT, there is none.
    """
    if not result.classifications:
        raise _error("Cannot convert empty ClassificationResults to JSON")
    return _wrapped(
        "results",
        _list(
            _list(
                f"[{string(one.label.encode())}, {float_text(one.score)}]" for one in each.classes
            )
            for each in result.classifications
        ),
    )


def regressions(result: examples_pb2.RegressionResult) -> bytes:
    """The value of each example.

    Raises:
        StatusError: INVALID_ARGUMENT, there is none.
    """
    if not result.regressions:
        raise _error("Cannot convert empty RegressionResults to JSON")
    return _wrapped("results", _list(float_text(one.value) for one in result.regressions))


def error(message: str) -> bytes:
    """What a failed call is answered with."""
    text = message.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return f'{{"error": {json.dumps(text, ensure_ascii=False)}}}\n'.encode()


def string(raw: bytes) -> str:
    """A JSON string, or a base64 object where the bytes are no UTF-8."""
    try:
        return json.dumps(raw.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        return _base64(raw)


def _base64(raw: bytes) -> str:
    return f'{{"b64": "{base64.b64encode(raw).decode()}"}}'


def _texts(array: NDArray[Any], *, keep: int, as_bytes: bool) -> list[str]:
    """The text of each element of the first `keep` dimensions; with 0 of the whole."""
    if array.dtype.name in _INTEGERS:
        elements = array.tolist() if keep else [array.tolist()]
        return [text.decode() for text in map(orjson.dumps, elements)]
    texts = _values(array, as_bytes=as_bytes)
    for axis in range(array.ndim - 1, keep - 1, -1):
        size = array.shape[axis]
        texts = [
            f"[{', '.join(texts[size * position : size * (position + 1)])}]"
            for position in range(math.prod(array.shape[:axis]))
        ]
    return texts


def _values(array: NDArray[Any], *, as_bytes: bool) -> list[str]:
    """The text of each value."""
    kind = array.dtype.name
    if kind in _FLOATS:
        return float_texts(array)
    if kind == "object":
        return list(map(_base64 if as_bytes else string, array.ravel().tolist()))
    if array.size == 0:
        return []
    raise _error(f"Failed to write JSON value for tensor type: {_NAMES.get(kind, kind)}")


def _is_bytes(name: str) -> bool:
    return name.endswith(_BYTES_SUFFIX)


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"


def _wrapped(key: str, text: str) -> bytes:
    return f'{{\n    "{key}": {text}\n}}\n'.encode()


def _error(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)
