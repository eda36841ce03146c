"""The elements of a tensor as a flat array, by TensorFlow's rules of reading.

tensor_content  --of_content-->  exactly as many as the shape has
*_val           --of_values-->   as many as were sent  --fill-->  as many as the shape has
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtower_clients import _dtypes, _wire
from dualtower_clients._dtypes import STRING, WireType
from dualtower_clients.errors import TensorError
from dualtower_clients.proto.tensor_pb2 import TensorProto

__all__ = ["PACKED", "Packed", "fill", "of_content", "of_packed", "of_values"]

_WORTH_SERIALISING = 256  # values, below which protobuf is asked for them one by one


class Packed(NamedTuple):
    """A list whose packed form on the wire is the memory of an array."""

    number: int
    dtype: np.dtype[Any]


_FLOAT, _DOUBLE = np.dtype("<f4"), np.dtype("<f8")
PACKED = {
    "float_val": Packed(5, _FLOAT),
    "double_val": Packed(6, _DOUBLE),
    "scomplex_val": Packed(9, _FLOAT),  # real and imaginary parts in turn
    "dcomplex_val": Packed(12, _DOUBLE),
}


def of_content(
    content: bytes | memoryview, kind: WireType, count: int, *, aligned: bool = True
) -> NDArray[Any]:
    """The elements of a `tensor_content`; they share its memory where they can.

    Raises:
        TensorError: it does not hold `count` elements.
    """
    if kind.number == STRING:
        return _objects(_split_strings(bytes(content), count))
    if len(content) != count * kind.size_bytes:
        raise TensorError(
            f"tensor_content has {len(content)} bytes, "
            f"{count} elements of {kind.name} need {count * kind.size_bytes}"
        )
    if kind.name == "bool" and np.frombuffer(content, np.uint8).max() > 1:
        raise TensorError("tensor_content has a bool that is neither 0 nor 1")
    return _of_memory(content, _dtypes.numpy_of(kind), aligned=aligned)


def of_packed(payload: memoryview, kind: WireType) -> NDArray[Any]:
    """The elements of a packed list of `PACKED`; they share its memory where they can."""
    return _joined(_of_memory(payload, PACKED[kind.field].dtype), kind)


def of_values(proto: TensorProto, kind: WireType) -> NDArray[Any]:
    """The elements of the `*_val` field that belongs to the dtype."""
    values = getattr(proto, kind.field)
    if kind.number == STRING:
        return _objects(values[:])
    if kind.field in PACKED:
        return _joined(_floats(proto, values, PACKED[kind.field]), kind)
    if kind.field == "half_val":
        bits = _numbers(values, np.dtype(np.int32)).astype(np.uint16)
        return bits.view(_dtypes.numpy_of(kind))
    if kind.field == "int_val":  # too large a value wraps, as a C cast does
        return _numbers(values, np.dtype(np.int32)).astype(_dtypes.numpy_of(kind))
    return _numbers(values, _dtypes.numpy_of(kind))


def fill(found: NDArray[Any], kind: WireType, count: int, limit_bytes: int) -> NDArray[Any]:
    """`count` elements out of those that were sent: surplus is cut off, the last one repeats.

    Raises:
        TensorError: more memory than `limit_bytes` would be filled.
    """
    if len(found) >= count:
        return found[:count]
    if count * max(kind.size_bytes, 8) > limit_bytes:
        raise TensorError(
            f"a list of {len(found)} values would fill {count} elements of {kind.name}, "
            f"more than the limit of {limit_bytes} bytes"
        )
    if len(found) <= 1:  # one value that repeats needs no memory
        only = np.empty((), found.dtype)
        only[()] = found[0] if len(found) else (b"" if kind.number == STRING else 0)
        return np.broadcast_to(only, count)
    filled = np.full(count, found[-1], found.dtype)
    filled[: len(found)] = found
    return filled


def _of_memory(
    memory: bytes | memoryview, dtype: np.dtype[Any], *, aligned: bool = True
) -> NDArray[Any]:
    array: NDArray[Any] = np.frombuffer(memory, dtype)
    if aligned and not array.flags.aligned:  # code in C, and numpy's own fast paths, count on it
        array = np.frombuffer(memory, np.uint8).copy().view(dtype)  # as bytes: several times faster
    return array


def _joined(numbers: NDArray[Any], kind: WireType) -> NDArray[Any]:
    """Complex numbers of their parts; a last part without its other one is dropped."""
    if kind.field in ("scomplex_val", "dcomplex_val"):
        numbers = numbers[: len(numbers) // 2 * 2]
    return numbers.view(_dtypes.numpy_of(kind))


def _floats(proto: TensorProto, values: Any, packed: Packed) -> NDArray[Any]:
    """As `_numbers`, through the tensor's serialised bytes where protobuf has no arrays."""
    if hasattr(values, "__array__") or len(values) < _WORTH_SERIALISING:
        return _numbers(values, packed.dtype)
    raw = memoryview(proto.SerializeToString())
    (field,) = (field for field in _wire.fields(raw) if field.number == packed.number)
    return _of_memory(raw[field.begin : field.end], packed.dtype)


def _numbers(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A repeated field as an array, by protobuf's own conversion where it has one (7 and later)."""
    if hasattr(values, "__array__"):
        return np.array(values, dtype)
    return np.fromiter(values, dtype, len(values))


def _objects(strings: list[bytes]) -> NDArray[Any]:
    return np.fromiter(strings, object, len(strings))


def _split_strings(content: bytes, count: int) -> list[bytes]:
    """`count` varint lengths, then that many bytes each."""
    if count > len(content):
        raise TensorError(f"tensor_content has {len(content)} bytes for {count} strings")
    lengths, position = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if position == len(content) or shift > 63:
                raise TensorError("tensor_content ends within the lengths of its strings")
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise TensorError("tensor_content does not hold as many bytes as its strings need")
    strings = []
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return strings
