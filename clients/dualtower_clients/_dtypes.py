"""Which numpy dtype belongs to which dtype of the wire, and in which field its elements lie."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualtower_clients.proto import tensor_pb2

__all__ = [
    "BFLOAT16",
    "NAMES",
    "STRING",
    "WireType",
    "by_name",
    "by_number",
    "name_of",
    "numpy_of",
]

STRING = tensor_pb2.DT_STRING
BFLOAT16 = tensor_pb2.DT_BFLOAT16


@dataclass(frozen=True)
class WireType:
    """One dtype: its number on the wire, numpy's name, the `*_val` field, bytes an element."""

    number: int
    name: str
    field: str
    size_bytes: int


_TYPES = (
    WireType(tensor_pb2.DT_FLOAT, "float32", "float_val", 4),
    WireType(tensor_pb2.DT_DOUBLE, "float64", "double_val", 8),
    WireType(tensor_pb2.DT_INT32, "int32", "int_val", 4),
    WireType(tensor_pb2.DT_UINT8, "uint8", "int_val", 1),
    WireType(tensor_pb2.DT_INT16, "int16", "int_val", 2),
    WireType(tensor_pb2.DT_INT8, "int8", "int_val", 1),
    WireType(STRING, "string", "string_val", 0),
    WireType(tensor_pb2.DT_COMPLEX64, "complex64", "scomplex_val", 8),
    WireType(tensor_pb2.DT_INT64, "int64", "int64_val", 8),
    WireType(tensor_pb2.DT_BOOL, "bool", "bool_val", 1),
    WireType(BFLOAT16, "bfloat16", "half_val", 2),
    WireType(tensor_pb2.DT_UINT16, "uint16", "int_val", 2),
    WireType(tensor_pb2.DT_COMPLEX128, "complex128", "dcomplex_val", 16),
    WireType(tensor_pb2.DT_HALF, "float16", "half_val", 2),
    WireType(tensor_pb2.DT_UINT32, "uint32", "uint32_val", 4),
    WireType(tensor_pb2.DT_UINT64, "uint64", "uint64_val", 8),
)
_BY_NUMBER = {kind.number: kind for kind in _TYPES}
_BY_NAME = {kind.name: kind for kind in _TYPES}

NAMES = ", ".join(sorted(_BY_NAME))  # what an error says is allowed


def by_number(number: int) -> WireType | None:
    """The dtype with this number, None where the codec does not know it."""
    return _BY_NUMBER.get(number)


def by_name(name: str) -> WireType | None:
    """The dtype with this numpy name ("bfloat16" and "string" included)."""
    return _BY_NAME.get(name)


def name_of(number: int) -> str:
    """numpy's name of a dtype of the wire; of an unknown one the wire's name, or its number."""
    if number in _BY_NUMBER:
        return _BY_NUMBER[number].name
    try:
        return tensor_pb2.DataType.Name(number)
    except ValueError:
        return f"dtype {number}"


@functools.cache
def numpy_of(kind: WireType) -> np.dtype[Any]:
    """The numpy dtype in little endian; strings are object arrays of bytes.

    numpy has no bfloat16 of its own: it is `ml_dtypes.bfloat16` where that package is installed
    (TensorFlow brings it), else its bits as uint16.
    """
    if kind.number == STRING:
        return np.dtype(object)
    if kind.number == BFLOAT16:
        try:
            own: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
        except ModuleNotFoundError:
            own = np.dtype("<u2")
        return own
    native: np.dtype[Any] = np.dtype(kind.name)
    return native.newbyteorder("<")
