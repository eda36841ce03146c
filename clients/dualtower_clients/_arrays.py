"""From what a caller gives to the array that travels: its dtype, its order, its memory."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtower_clients import _dtypes
from dualtower_clients._dtypes import BFLOAT16, STRING, WireType
from dualtower_clients.errors import TensorError

__all__ = ["MAX_MESSAGE_BYTES", "memory_of", "prepare"]

MAX_MESSAGE_BYTES = (1 << 31) - 1  # protobuf's own limit
_TEXT_KINDS = "SUOT"  # numpy's kinds of bytes, of str, of objects and of strings of any length


def prepare(value: ArrayLike, dtype: str | None) -> tuple[NDArray[Any], WireType]:
    """The array in C order and little endian, and its dtype on the wire.

    Raises:
        TensorError: the dtype cannot travel, `value` does not fit it, or is too large.
    """
    array = _array(value)
    name = dtype or _name_of(array.dtype)
    kind = _dtypes.by_name(name)
    if kind is None:
        raise TensorError(
            f"arrays of dtype {name} cannot be sent; cast them to one of {_dtypes.NAMES} first"
        )
    if array.size * kind.size_bytes > MAX_MESSAGE_BYTES:
        raise TensorError(
            f"{list(array.shape)} of {name} are {array.size * kind.size_bytes} bytes, a message "
            f"holds at most {MAX_MESSAGE_BYTES}; send it in parts"
        )
    if kind.number == STRING:
        return array, kind
    if kind.number == BFLOAT16 and array.dtype.name != "bfloat16":
        return _bfloat16_bits_of(_cast(array, np.dtype(np.float32), name)), kind
    return _cast(array, _dtypes.numpy_of(kind), name), kind


def memory_of(array: NDArray[Any]) -> memoryview:
    """The bytes of an array in C order, without a copy."""
    return array.reshape(-1).view(np.uint8).data


@functools.lru_cache  # numpy puts a name together anew each time
def _name_of(dtype: np.dtype[Any]) -> str:
    return "string" if dtype.kind in _TEXT_KINDS else dtype.name


def _array(value: ArrayLike) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    try:
        if _starts_with_text(value):  # numpy's own strings drop trailing NULs
            return np.array(value, object)
        array = np.asarray(value)
        if array.dtype.kind in "SU":
            return np.array(value, object)
    except ValueError as error:
        raise TensorError(f"the value is no regular array: {error}") from error
    return array


def _starts_with_text(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (str, bytes))


def _cast(array: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    try:
        return np.asarray(array, dtype, order="C")
    except (TypeError, ValueError) as error:
        raise TensorError(f"an array of {array.dtype} cannot become {name}: {error}") from error


def _bfloat16_bits_of(wide: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Bits of the nearest bfloat16, ties to even; a NaN stays a NaN."""
    bits = wide.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(wide), (bits >> 16) | 0x40, rounded).astype(np.uint16)
