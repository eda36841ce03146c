"""A JSON value as one dense array, by the stock server's strict rules.

    value ──array_of──► array                     regular values, at the speed of C
            └─ first_error ─► StatusError         irregular ones, value by value, in their words

Nothing is cast: an integer is fine for a float, a fraction is no integer, `true` is no number, null
is nothing. Lists of lists must agree in size. Strings are text or base64 objects.
"""

from __future__ import annotations

import contextlib
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_clients.proto import tensor_pb2
from dualtower_serving.embedded import rest_base64
from dualtower_serving.embedded.rest_json import bytes_of
from dualtower_serving.embedded.rest_json_text import is_integer, text_of, type_name
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["MAX_RANK", "array_of", "check", "dtype_name", "shape_of"]

MAX_RANK = 63  # of one row; numpy ends at 64, and the rows are a dimension

_FLOATS: dict[int, type[np.floating[Any]]] = {
    tensor_pb2.DT_FLOAT: np.float32,
    tensor_pb2.DT_DOUBLE: np.float64,
}
_INTEGERS: dict[int, type[np.signedinteger[Any]] | type[np.unsignedinteger[Any]]] = {
    tensor_pb2.DT_INT8: np.int8,
    tensor_pb2.DT_INT16: np.int16,
    tensor_pb2.DT_INT32: np.int32,
    tensor_pb2.DT_INT64: np.int64,
    tensor_pb2.DT_UINT8: np.uint8,
    tensor_pb2.DT_UINT32: np.uint32,
    tensor_pb2.DT_UINT64: np.uint64,
}
_KNOWN = {*_FLOATS, *_INTEGERS, tensor_pb2.DT_BOOL, tensor_pb2.DT_STRING}
_NUMBERS = frozenset({int, float})
_NAMES: dict[int, str] = {tensor_pb2.DT_HALF: "half"}


def dtype_name(dtype: int) -> str:
    """A dtype as error texts name it."""
    if dtype in _NAMES:
        return _NAMES[dtype]
    try:
        return tensor_pb2.DataType.Name(dtype).removeprefix("DT_").lower()  # type: ignore[arg-type]
    except ValueError:
        return f"unknown dtype {dtype}"


def array_of(value: Any, dtype: int) -> NDArray[Any] | None:
    """The array, or None where something is irregular; then `check` says what.

    Args:
        value: parsed JSON.
        dtype: of the wire.
    """
    level: list[Any] = [value]
    shape: list[int] = []
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list} or len(shape) > MAX_RANK:
            return None
        sizes = set(map(len, level))
        if len(sizes) != 1:
            return None
        shape.append(sizes.pop())
        level = list(chain.from_iterable(level))
    array = _flat(level, dtype)
    return None if array is None else array.reshape(shape)


def check(value: Any, shape: list[int], dtype: int) -> int:
    """Counts the values of a list of lists that must have this shape.

    Raises:
        StatusError: INVALID_ARGUMENT or UNIMPLEMENTED, the first thing that is wrong.
    """
    if len(shape) > MAX_RANK:
        raise StatusError(Code.INVALID_ARGUMENT, f"lists are nested deeper than {MAX_RANK} levels")
    return _check(value, 0, shape, dtype)


def shape_of(value: Any) -> list[int]:
    """The shape that the first element of each level promises."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value or len(shape) > MAX_RANK:
            break
        value = value[0]
    return shape


def _flat(values: list[Any], dtype: int) -> NDArray[Any] | None:
    """The values as a vector, if each is of the dtype."""
    types = set(map(type, values))
    if dtype in _FLOATS:
        if not types <= _NUMBERS:
            return None
        with np.errstate(over="ignore"):  # beyond float32: infinite, as in the stock server
            return _doubles(values, types).astype(_FLOATS[dtype], copy=False)
    if dtype in _INTEGERS:
        return _integers(values, _INTEGERS[dtype]) if types <= {int} else None
    if dtype == tensor_pb2.DT_BOOL:
        return np.array(values, np.bool_) if types <= {bool} else None
    if dtype == tensor_pb2.DT_STRING:
        return _strings(values, types)
    return None


def _doubles(values: list[Any], types: set[type]) -> NDArray[np.float64]:
    if types == {int}:
        with contextlib.suppress(OverflowError):
            return np.fromiter(values, np.int64, len(values)).astype(np.float64)
    return np.fromiter(values, np.float64, len(values))


def _integers(
    values: list[int], kind: type[np.signedinteger[Any]] | type[np.unsignedinteger[Any]]
) -> NDArray[Any] | None:
    try:
        wide = np.fromiter(values, np.uint64 if kind is np.uint64 else np.int64, len(values))
    except OverflowError:
        return None
    limits = np.iinfo(kind)
    if wide.size and not limits.min <= int(wide.min()) <= int(wide.max()) <= limits.max:
        return None
    return wide.astype(kind, copy=False)


def _strings(values: list[Any], types: set[type]) -> NDArray[Any] | None:
    array = np.empty(len(values), object)
    if types <= {str}:
        array[:] = list(map(bytes_of, values))
        return array
    if not types <= {str, tuple} or not all(
        isinstance(one, str) or rest_base64.is_object(one) for one in values
    ):
        return None
    try:
        array[:] = [
            bytes_of(one) if isinstance(one, str) else rest_base64.decode_object(one)
            for one in values
        ]
    except StatusError:
        return None
    return array


def _check(value: Any, level: int, shape: list[int], dtype: int) -> int:
    if not isinstance(value, list):
        if level != len(shape):
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"JSON Value: {text_of(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}",
            )
        _check_value(value, dtype)
        return 1
    if level >= len(shape):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Encountered list at unexpected level: {level} expected < {len(shape)}",
        )
    if len(value) != shape[level]:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}",
        )
    return sum(_check(one, level + 1, shape, dtype) for one in value)


def _check_value(value: Any, dtype: int) -> None:
    if isinstance(value, tuple):
        if dtype != tensor_pb2.DT_STRING:
            raise _type_error(value, dtype)
        rest_base64.decode_object(value)
    elif dtype not in _KNOWN:
        raise StatusError(
            Code.UNIMPLEMENTED,
            f"Conversion of JSON Value: {text_of(value)} to type: {dtype_name(dtype)}",
        )
    elif not _fits(value, dtype):
        raise _type_error(value, dtype)


def _fits(value: Any, dtype: int) -> bool:
    if dtype in _FLOATS:
        return type(value) in _NUMBERS
    if dtype in _INTEGERS:
        limits = np.iinfo(_INTEGERS[dtype])
        return is_integer(value) and limits.min <= value <= limits.max
    return isinstance(value, bool if dtype == tensor_pb2.DT_BOOL else str)


def _type_error(value: Any, dtype: int) -> StatusError:
    return StatusError(
        Code.INVALID_ARGUMENT,
        f"JSON Value: {text_of(value)} Type: {type_name(value)} "
        f"is not of expected type: {dtype_name(dtype)}",
    )
