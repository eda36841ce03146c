"""numpy arrays to tensors of the wire and back, by TensorFlow's own rules.

    array [any shape]  --encode-->         TensorProto with tensor_content (strings: string_val)
                       --encode_values-->  TensorProto with every element in its *_val field
    TensorProto        --decode-->         array

The rules of decoding, as TensorFlow applies them: `tensor_content` wins over `*_val` and must fit
the shape exactly; a `*_val` list that is too short repeats its last value, an empty one means zeros
or empty strings, surplus values are ignored; no shape means a scalar.

Strings are bytes on the wire: arrays of `str` are sent as UTF-8, and come back as object arrays of
bytes. bfloat16 is `ml_dtypes.bfloat16` where that package is installed; without it a tensor is
decoded to float32, which holds every bfloat16 exactly, and `encode(..., dtype="bfloat16")` rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtower_clients import _dtypes
from dualtower_clients._dtypes import BFLOAT16, STRING, WireType
from dualtower_clients.errors import TensorError
from dualtower_clients.proto.tensor_pb2 import TensorProto, TensorShapeProto

__all__ = ["MAX_FILL_BYTES", "decode", "encode", "encode_values", "shape_of"]

MAX_FILL_BYTES = 1 << 30  # a message of a few bytes may ask for a tensor of any size: refuse it
_MAX_RANK = 64  # numpy's own limit
_MAX_ELEMENTS = (1 << 63) - 1
# fields of fixed width, where the bytes of an array are the bytes of the packed field
_PACKED_AS_IS = {"float_val": 5, "double_val": 6, "scomplex_val": 9, "dcomplex_val": 12}
_BOOL_FIELD = 11


def encode(
    value: ArrayLike, *, dtype: str | None = None, string_content: bool = False
) -> TensorProto:
    """A tensor with the bytes of `value` as they lie in memory; strings one by one.

    Args:
        value: an array or nested lists, of numbers, bool, str or bytes; any shape. numpy's own
            rules apply to lists: integers become int64, fractions float64.
        dtype: cast to this first ("float32", "bfloat16", "string", ...).
        string_content: strings in `tensor_content` too, which `tf.make_ndarray` cannot read.

    Raises:
        TensorError: the dtype cannot travel, or `value` does not fit it.
    """
    array, kind = _prepare(value, dtype)
    proto = TensorProto(dtype=kind.number, tensor_shape=_shape_proto(array.shape))  # type: ignore[arg-type]
    if kind.number != STRING:
        proto.tensor_content = array.tobytes()
    elif string_content:
        strings = _bytes_of(array)
        proto.tensor_content = b"".join([*(_varint(len(text)) for text in strings), *strings])
    else:
        proto.string_val.extend(_bytes_of(array))
    return proto


def encode_values(value: ArrayLike, *, dtype: str | None = None) -> TensorProto:
    """As `encode`, with every element spelled out in the `*_val` field, as model servers answer."""
    array, kind = _prepare(value, dtype)
    proto = TensorProto(dtype=kind.number, tensor_shape=_shape_proto(array.shape))  # type: ignore[arg-type]
    if kind.number == STRING:
        proto.string_val.extend(_bytes_of(array))
    elif array.size == 0:
        pass
    elif kind.field in _PACKED_AS_IS:
        proto.MergeFromString(_packed(_PACKED_AS_IS[kind.field], array.tobytes()))
    elif kind.field == "bool_val":  # each bool is a varint of one byte, which is numpy's layout
        proto.MergeFromString(_packed(_BOOL_FIELD, array.tobytes()))
    else:
        bits = array.view(np.uint16) if kind.field == "half_val" else array
        getattr(proto, kind.field).extend(bits.ravel().tolist())
    return proto


def decode(proto: TensorProto, *, max_fill_bytes: int = MAX_FILL_BYTES) -> NDArray[Any]:
    """The array of a tensor. It is read-only where it was sent as `tensor_content`, and where one
    value stands for all elements.

    Args:
        proto: the tensor.
        max_fill_bytes: the most that a value list shorter than its shape may be expanded to.

    Raises:
        TensorError: unknown dtype, impossible shape, or content that does not fit the shape.
    """
    kind = _dtypes.by_number(proto.dtype)
    if kind is None:
        raise TensorError(f"tensors of {_dtypes.name_of(proto.dtype)} cannot be read")
    shape = shape_of(proto.tensor_shape)
    count = math.prod(shape)
    if proto.tensor_content and count:
        flat = _from_content(proto.tensor_content, kind, count)
    else:
        flat = _from_values(proto, kind, count, max_fill_bytes)
    try:
        array = flat.reshape(shape)
    except ValueError as error:  # [0, 2^62, 2^62]: no element, and yet too large for numpy
        raise TensorError(f"shape {list(shape)} cannot be held: {error}") from error
    if kind.number == BFLOAT16 and array.dtype == np.uint16:
        return _float32_of_bfloat16_bits(array)
    return array


def shape_of(proto: TensorShapeProto) -> tuple[int, ...]:
    """The shape of a tensor; an unknown rank or no shape means a scalar.

    Raises:
        TensorError: a negative dimension, too many dimensions, or too many elements to count.
    """
    if proto.unknown_rank:
        return ()
    shape = tuple(dim.size for dim in proto.dim)
    if any(size < 0 for size in shape):
        raise TensorError(f"shape {list(shape)} has a negative dimension")
    if len(shape) > _MAX_RANK:
        raise TensorError(f"a tensor has {len(shape)} dimensions, at most {_MAX_RANK} can be read")
    if math.prod(size for size in shape if size) > _MAX_ELEMENTS:
        raise TensorError(f"shape {list(shape)} has more than 2^63 elements")
    return shape


def _prepare(value: ArrayLike, dtype: str | None) -> tuple[NDArray[Any], WireType]:
    """The array in C order and little endian, and its dtype on the wire."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "SU" and not isinstance(value, np.ndarray):
            array = np.array(value, object)  # numpy's own strings drop trailing NULs
    except ValueError as error:
        raise TensorError(f"the value is no regular array: {error}") from error
    name = dtype or ("string" if array.dtype.kind in "USO" else array.dtype.name)
    kind = _dtypes.by_name(name)
    if kind is None:
        raise TensorError(f"arrays of dtype {name} cannot be sent; cast them first")
    if kind.number == STRING:
        return array, kind
    if kind.number == BFLOAT16 and array.dtype.name != "bfloat16":
        return _bfloat16_bits_of(array), kind
    try:
        return np.asarray(array, _dtypes.numpy_of(kind), order="C"), kind
    except (TypeError, ValueError) as error:
        raise TensorError(f"an array of {array.dtype} cannot become {name}: {error}") from error


def _shape_proto(shape: Iterable[int]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])


def _bytes_of(array: NDArray[Any]) -> list[bytes]:
    values: list[Any] = array.ravel().tolist()
    try:
        return [text if isinstance(text, bytes) else text.encode() for text in values]
    except (AttributeError, UnicodeEncodeError) as error:
        bad = next(text for text in values if not _is_text(text))
        raise TensorError(f"strings must be bytes, or str that UTF-8 holds, got {bad!r}") from error


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return isinstance(value, bytes)
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_content(content: bytes, kind: WireType, count: int) -> NDArray[Any]:
    if kind.number == STRING:
        return _objects(_split_strings(content, count))
    if len(content) != count * kind.size_bytes:
        raise TensorError(
            f"tensor_content has {len(content)} bytes, "
            f"{count} elements of {kind.name} need {count * kind.size_bytes}"
        )
    if kind.name == "bool":
        truth: NDArray[Any] = np.frombuffer(content, np.uint8) != 0
        return truth
    return np.frombuffer(content, _dtypes.numpy_of(kind))


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


def _from_values(proto: TensorProto, kind: WireType, count: int, limit: int) -> NDArray[Any]:
    values = getattr(proto, kind.field)
    if kind.number == STRING:
        flat = _objects(values[:count])
    elif kind.field in ("scomplex_val", "dcomplex_val"):
        parts = np.float32 if kind.field == "scomplex_val" else np.float64
        pairs = _numbers(values, np.dtype(parts))
        flat = pairs[: len(pairs) // 2 * 2].view(_dtypes.numpy_of(kind))[:count]
    elif kind.field == "half_val":
        flat = _numbers(values, np.dtype(np.int32)).astype(np.uint16)[:count]
        flat = flat.view(_dtypes.numpy_of(kind))
    elif kind.field == "int_val":  # too large a value wraps, as a C cast does
        flat = _numbers(values, np.dtype(np.int32)).astype(_dtypes.numpy_of(kind))[:count]
    else:
        flat = _numbers(values, _dtypes.numpy_of(kind))[:count]
    if len(flat) == count:
        return flat
    if count * max(kind.size_bytes, 8) > limit:
        raise TensorError(
            f"a list of {len(flat)} values would fill {count} elements of {kind.name}, "
            f"more than the limit of {limit} bytes"
        )
    if len(flat) <= 1:  # one value that repeats needs no memory
        only = np.empty((), flat.dtype)
        only[()] = flat[0] if len(flat) else (b"" if kind.number == STRING else 0)
        return np.broadcast_to(only, count)
    filled = np.full(count, flat[-1], flat.dtype)
    filled[: len(flat)] = flat
    return filled


def _numbers(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A repeated field as an array, by protobuf's own conversion where it has one (7 and later)."""
    if hasattr(values, "__array__"):
        return np.array(values, dtype)
    return np.fromiter(values, dtype, len(values))


def _objects(strings: list[bytes]) -> NDArray[Any]:
    array = np.empty(len(strings), object)
    array[:] = strings
    return array


def _packed(field: int, payload: bytes) -> bytes:
    """The wire form of a packed repeated field: tag, length, payload."""
    return bytes([field << 3 | 2]) + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _bfloat16_bits_of(array: NDArray[Any]) -> NDArray[np.uint16]:
    """Bits of the nearest bfloat16, ties to even; a NaN stays a NaN."""
    wide = np.asarray(array, np.float32)
    bits = wide.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(wide), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _float32_of_bfloat16_bits(bits: NDArray[Any]) -> NDArray[np.float32]:
    return (bits.astype(np.uint32) << 16).view(np.float32)
