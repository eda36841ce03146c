"""Tensors as JSON, as a person types and reads them. Pure.

text           "text"; other bytes as {"b64": "..."}, as in TensorFlow Serving's REST
float, NaN     1.5, "NaN", "Infinity", "-Infinity", as in protobuf's JSON
complex        {"re": 1, "im": 2}
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower.errors import UsageError
from dualtower_clients import _dtypes
from dualtower_clients.results import Signature, TensorSpec

__all__ = ["array_of", "columns_of", "json_of"]

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def array_of(alias: str, spec: TensorSpec, value: Any) -> NDArray[Any]:
    """The array that an input wants, out of nested lists.

    Raises:
        UsageError: a value, the nesting or the shape does not fit.
    """
    kind = _dtypes.by_name(spec.dtype)
    if kind is None:
        raise UsageError(f"input {alias!r} is {spec.dtype}, which has no form in JSON")
    leaves: list[Any] = []
    shape = _flatten(alias, value, leaves)
    if spec.shape is not None and not _fits(shape, spec.shape):
        raise UsageError(
            f"input {alias!r} is {spec.dtype} {_words(spec.shape)}, got values of shape "
            f"{_words(shape)}"
        )
    read = _READERS[_class_of(spec.dtype)]
    dtype = _dtypes.numpy_of(kind)
    flat = np.empty(len(leaves), dtype)
    for place, leaf in enumerate(leaves):
        try:
            flat[place] = read(leaf)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"input {alias!r} is {spec.dtype}, got {leaf!r}: {error}") from error
    return flat.reshape(shape)


def columns_of(signature: Signature, rows: Sequence[Any]) -> dict[str, Any]:
    """Inputs by alias out of a list of rows, as TensorFlow Serving's REST takes "instances".

    A row is an object of inputs, or the value itself where the signature has one input.

    Raises:
        UsageError: rows of different inputs.
    """
    if not rows:
        raise UsageError("there are no instances")
    if not all(isinstance(row, dict) and set(row) != {"b64"} for row in rows):
        if len(signature.inputs) != 1:
            raise UsageError(
                "an instance must be an object of the inputs "
                f"{', '.join(sorted(signature.inputs))}; this signature has more than one"
            )
        return {next(iter(signature.inputs)): list(rows)}
    names = set(rows[0])
    for number, row in enumerate(rows):
        if set(row) != names:
            raise UsageError(
                f"instance {number} has the inputs {', '.join(sorted(row))}, the first one "
                f"{', '.join(sorted(names))}"
            )
    return {name: [row[name] for row in rows] for name in sorted(names)}


def json_of(array: NDArray[Any]) -> Any:
    """Nested lists that `json.dumps` writes as valid JSON, not-finite numbers as texts."""
    kind = array.dtype.kind
    if kind == "O":
        return _nested(array, _text_of)
    if kind == "c":
        return _nested(array, lambda one: {"re": _number(one.real), "im": _number(one.imag)})
    if kind in "biu":
        return array.tolist()
    wide = array if kind == "f" else array.astype(np.float32)  # bfloat16 is of no kind of numpy's
    return wide.tolist() if np.isfinite(wide).all() else _nested(wide, _number)


def _flatten(alias: str, value: Any, leaves: list[Any]) -> tuple[int, ...]:
    if not isinstance(value, list):
        leaves.append(value)
        return ()
    if not value:
        return (0,)
    shapes = {_flatten(alias, one, leaves) for one in value}
    if len(shapes) > 1:
        raise UsageError(
            f"input {alias!r} has lists of different lengths side by side: "
            f"{', '.join(map(_words, sorted(shapes)))}; fill the short ones up"
        )
    return (len(value), *shapes.pop())


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if 0 in shape:  # [] is empty at any depth
        return len(shape) <= len(wanted)
    return len(shape) == len(wanted) and all(
        want in (-1, size) for size, want in zip(shape, wanted, strict=True)
    )


def _words(shape: Sequence[int]) -> str:
    return f"[{', '.join('?' if size == -1 else str(size) for size in shape)}]"


def _class_of(dtype: str) -> str:
    return dtype.rstrip("0123456789").removeprefix("b" if dtype == "bfloat16" else "")


def _read_text(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode("utf-8", "surrogatepass")
    if isinstance(leaf, Mapping) and set(leaf) == {"b64"}:
        try:
            return base64.b64decode(leaf["b64"], validate=True)
        except (binascii.Error, TypeError) as error:
            raise ValueError(f"no base64 ({error})") from error
    raise TypeError('a text or {"b64": "..."} is wanted')


def _read_bool(leaf: Any) -> bool:
    if not isinstance(leaf, bool):
        raise TypeError("true or false is wanted")
    return leaf


def _read_int(leaf: Any) -> int:
    if isinstance(leaf, bool) or not isinstance(leaf, int):
        raise TypeError("a whole number is wanted")
    return leaf


def _read_float(leaf: Any) -> float:
    if isinstance(leaf, str) and leaf in _NOT_FINITE:
        return _NOT_FINITE[leaf]
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        raise TypeError("a number is wanted")
    return float(leaf)


def _read_complex(leaf: Any) -> complex:
    if isinstance(leaf, Mapping) and set(leaf) <= {"re", "im"}:
        return complex(_read_float(leaf.get("re", 0)), _read_float(leaf.get("im", 0)))
    return complex(_read_float(leaf), 0)


_READERS = {
    "string": _read_text,
    "bool": _read_bool,
    "int": _read_int,
    "uint": _read_int,
    "float": _read_float,
    "complex": _read_complex,
}


def _nested(array: NDArray[Any], write: Any) -> Any:
    if array.ndim == 0:
        return write(array[()])
    if array.ndim == 1:
        return [write(one) for one in array]
    return [_nested(one, write) for one in array]


def _text_of(raw: bytes) -> Any:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode("ascii")}


def _number(value: Any) -> Any:
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
