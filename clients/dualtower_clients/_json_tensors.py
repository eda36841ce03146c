"""Tensors as JSON, as a person types and reads them. Pure.

text           "text"; other bytes as {"b64": "..."}, as in TensorFlow Serving's REST
float, NaN     1.5, "NaN", "Infinity", "-Infinity", as in protobuf's JSON
complex        {"re": 1, "im": 2}
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower.errors import UsageError
from dualtower_clients import _dtypes, codec
from dualtower_clients._dtypes import BFLOAT16
from dualtower_clients.proto.tensor_pb2 import TensorProto
from dualtower_clients.results import Signature, TensorSpec

__all__ = ["array_of", "bytes_of", "columns_of", "json_of", "tensor_of"]

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_RANK = 64  # numpy's own limit


def tensor_of(alias: str, spec: TensorSpec, value: Any) -> TensorProto:
    """The tensor that an input wants, out of nested lists.

    Raises:
        UsageError: a value, the nesting or the shape does not fit.
    """
    return codec.encode(array_of(alias, spec, value), dtype=spec.dtype)


def array_of(alias: str, spec: TensorSpec, value: Any) -> NDArray[Any]:
    """The array that an input wants, out of nested lists; of bfloat16 it holds float32.

    Raises:
        UsageError: a value, the nesting or the shape does not fit.
    """
    kind = _dtypes.by_name(spec.dtype)
    if kind is None:
        raise UsageError(f"input {alias!r} is {spec.dtype}, which has no form in JSON")
    leaves: list[Any] = []
    shape = _flatten(alias, value, leaves)
    fitted = shape if spec.shape is None else _fitted(shape, spec.shape)
    if fitted is None:
        raise UsageError(f"input {alias!r} is {spec.words}, got values of shape {_words(shape)}")
    read = _READERS[_class_of(spec.dtype)]
    dtype = np.dtype(np.float32) if kind.number == BFLOAT16 else _dtypes.numpy_of(kind)
    flat = np.empty(len(leaves), dtype)
    values = []
    with np.errstate(over="ignore"):  # it is refused below
        for place, leaf in enumerate(leaves):
            try:
                values.append(read(leaf))
                flat[place] = values[-1]
            except (TypeError, ValueError, OverflowError) as error:
                raise UsageError(
                    f"input {alias!r} is {spec.dtype}, got {leaf!r}: {error}"
                ) from error
    if flat.dtype.kind in "fc":
        _refuse_overflow(alias, kind, flat, np.array(values, np.complex128))
    return flat.reshape(fitted)


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


def bytes_of(leaf: Any) -> bytes:
    """The bytes of a text, or of {"b64": "..."}.

    Raises:
        TypeError: it is neither.
        ValueError: UTF-8 has no bytes for it, or it is no base64.
    """
    if isinstance(leaf, str):
        try:
            return leaf.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                'UTF-8 cannot hold it; give bytes that are no text as {"b64": "..."}'
            ) from error
    if isinstance(leaf, Mapping) and set(leaf) == {"b64"} and isinstance(leaf["b64"], str):
        digits = "".join(leaf["b64"].split()).rstrip("=")  # as TensorFlow Serving, which needs none
        try:
            return base64.b64decode(digits + -len(digits) % 4 * "=", validate=True)
        except ValueError as error:
            raise ValueError(f"no base64 ({error})") from error
    raise TypeError('a text or {"b64": "..."} is wanted')


def _refuse_overflow(
    alias: str, kind: _dtypes.WireType, flat: NDArray[Any], given: NDArray[np.complex128]
) -> None:
    """Refuses finite numbers for which the dtype has no number but infinity."""
    if kind.number == BFLOAT16:
        flat = codec.decode(codec.encode(flat, dtype=kind.name)).astype(np.float32)
    for sent, meant in ((flat.real, given.real), (flat.imag, given.imag)):
        lost = np.flatnonzero(np.isfinite(meant) & ~np.isfinite(sent))
        if lost.size:
            raise UsageError(
                f"input {alias!r} is {kind.name}, which holds no number as large as "
                f'{float(meant[lost[0]])!r}; write "Infinity" if that is meant'
            )


def _flatten(alias: str, value: Any, leaves: list[Any], depth: int = 0) -> tuple[int, ...]:
    if not isinstance(value, list):
        leaves.append(value)
        return ()
    if depth == _MAX_RANK:
        raise UsageError(f"input {alias!r} has lists more than {_MAX_RANK} deep in one another")
    if not value:
        return (0,)
    shapes = {_flatten(alias, one, leaves, depth + 1) for one in value}
    if len(shapes) > 1:
        raise UsageError(
            f"input {alias!r} has lists of different lengths side by side: "
            f"{', '.join(map(_words, sorted(shapes)))}; fill the short ones up"
        )
    return (len(value), *shapes.pop())


def _fitted(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the values as it is wanted; None where it cannot be.

    An empty list says nothing of the dimensions within it, which are then those that are wanted.
    """
    if 0 in shape:
        shape += tuple(max(size, 0) for size in wanted[len(shape) :])
    fits = len(shape) == len(wanted) and all(
        want in (-1, size) for size, want in zip(shape, wanted, strict=True)
    )
    return shape if fits else None


def _words(shape: Sequence[int]) -> str:
    return f"[{', '.join('?' if size == -1 else str(size) for size in shape)}]"


def _class_of(dtype: str) -> str:
    return dtype.rstrip("0123456789").removeprefix("b" if dtype == "bfloat16" else "")


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
    "string": bytes_of,
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
