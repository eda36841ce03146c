"""numpy arrays to tensors of the wire and back, by TensorFlow's own rules.

    array [any shape]  --encode-->         TensorProto with tensor_content (strings: string_val)
                       --encode_values-->  TensorProto with every element in its *_val field
                       --encode_bytes-->   what `encode` gives, serialised
    TensorProto, or its serialised bytes  --decode-->  array

The rules of decoding, as TensorFlow applies them: `tensor_content` wins over `*_val` and must fit
the shape exactly; a `*_val` list that is too short repeats its last value, an empty one means zeros
or empty strings, surplus values are ignored; no shape means a scalar.

Strings are bytes on the wire: arrays of `str` are sent as UTF-8, and come back as object arrays of
bytes. bfloat16 is `ml_dtypes.bfloat16` where that package is installed; without it a tensor is
decoded to float32, which holds every bfloat16 exactly, and `encode(..., dtype="bfloat16")` rounds.
Types of eight bits and fewer other than bool, int8 and uint8 are refused by name.

A TensorProto copies what is put into it, and what is read from it. Bytes do not: `encode_bytes`
copies an array once, `decode` of bytes shares their memory where its address suits the dtype.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import ArrayLike, NDArray

from dualtower_clients import _dtypes, _elements, _wire
from dualtower_clients._arrays import memory_of, prepare
from dualtower_clients._dtypes import BFLOAT16, STRING, WireType
from dualtower_clients._elements import PACKED
from dualtower_clients.errors import TensorError
from dualtower_clients.proto.tensor_pb2 import TensorProto, TensorShapeProto

__all__ = [
    "MAX_FILL_BYTES",
    "decode",
    "encode",
    "encode_bytes",
    "encode_values",
    "encoded_parts",
    "shape_of",
]

MAX_FILL_BYTES = 1 << 30  # a message of a few bytes may ask for a tensor of any size: refuse it
_MAX_RANK = 64  # numpy's own limit
_MAX_ELEMENTS = (1 << 63) - 1
_CONTENT, _BOOL_VAL = 4, 11  # field numbers
_LARGE_BYTES = 4096  # a smaller payload is read by protobuf sooner than it is found here
_MOST_FIELDS = 6  # dtype, shape, version, payload; with more, each value has a field of its own


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
        TensorError: the dtype cannot travel, or `value` does not fit it or a message.
    """
    array, kind = prepare(value, dtype)
    proto = _head(array, kind)
    if kind.number != STRING:
        proto.tensor_content = array.tobytes()
    elif string_content:
        strings = _utf8(array.reshape(-1).tolist())
        lengths = [_wire.varint(len(text)) for text in strings]
        proto.tensor_content = b"".join([*lengths, *strings])
    else:
        _add_strings(proto, array)
    return proto


def encode_bytes(value: ArrayLike, *, dtype: str | None = None) -> bytes:
    """As `encode(value).SerializeToString()`, with one copy of the array instead of four.

    Raises:
        TensorError: as `encode`.
    """
    return b"".join(encoded_parts(value, dtype=dtype))


def encoded_parts(value: ArrayLike, *, dtype: str | None = None) -> list[bytes | memoryview]:
    """What `encode_bytes` joins, for a message that joins it with parts of its own.

    A part may be the memory of `value`: join them before it changes.
    """
    array, kind = prepare(value, dtype)
    head = _head(array, kind)
    if kind.number == STRING:
        _add_strings(head, array)
    if kind.number == STRING or array.size == 0:
        return [head.SerializeToString()]
    return [
        head.SerializeToString(),
        _wire.delimited(_CONTENT, array.nbytes),
        memory_of(array),
    ]


def encode_values(value: ArrayLike, *, dtype: str | None = None) -> TensorProto:
    """As `encode`, with every element spelled out in the `*_val` field, as model servers answer."""
    array, kind = prepare(value, dtype)
    proto = _head(array, kind)
    if kind.number == STRING:
        _add_strings(proto, array)
    elif array.size == 0:
        pass
    elif kind.field in PACKED:
        _merge_packed(proto, PACKED[kind.field].number, array)
    elif kind.field == "bool_val":  # each bool is a varint of one byte, which is numpy's layout
        _merge_packed(proto, _BOOL_VAL, array)
    else:
        bits = array.view(np.uint16) if kind.field == "half_val" else array
        getattr(proto, kind.field).extend(bits.ravel().tolist())
    return proto


def decode(
    tensor: TensorProto | bytes | memoryview,
    *,
    max_fill_bytes: int = MAX_FILL_BYTES,
    aligned: bool = True,
) -> NDArray[Any]:
    """The array of a tensor. It is read-only, for it may share memory: copy it to write into it.

    Args:
        tensor: a TensorProto, or its serialised bytes, which are not copied if they need not be.
        max_fill_bytes: the most that a value list shorter than its shape may be expanded to.
        aligned: False shares the memory of bytes at any address; numpy reads such an array more
            slowly, and code in C may refuse it.

    Raises:
        TensorError: no tensor, unknown dtype, impossible shape, or content that does not fit it.
    """
    proto, content, packed = _opened(tensor)
    kind = _dtypes.by_number(proto.dtype)
    if kind is None:
        raise TensorError(
            f"tensors of {_dtypes.name_of(proto.dtype)} cannot be read, only of {_dtypes.NAMES}"
        )
    shape = shape_of(proto.tensor_shape)
    count = math.prod(shape)
    if len(content) and count:
        flat = _elements.of_content(content, kind, count, aligned=aligned)
    else:
        found = _elements.of_values(proto, kind) if packed is None else packed
        flat = _elements.fill(found, kind, count, max_fill_bytes)
    try:
        array = flat.reshape(shape)
    except ValueError as error:  # [0, 2^62, 2^62]: no element, and yet too large for numpy
        raise TensorError(f"shape {list(shape)} cannot be held: {error}") from error
    if kind.number == BFLOAT16 and array.dtype == np.uint16:
        array = _float32_of_bfloat16_bits(array)
    array.flags.writeable = False
    return array


def shape_of(proto: TensorShapeProto) -> tuple[int, ...]:
    """The shape of a tensor; no dimensions mean a scalar, also where its rank is called unknown.

    Raises:
        TensorError: a negative dimension, too many dimensions, or too many elements to count.
    """
    shape = tuple([dim.size for dim in proto.dim])
    if min(shape, default=0) < 0:
        raise TensorError(f"shape {list(shape)} has a negative dimension")
    if len(shape) > _MAX_RANK:
        raise TensorError(f"a tensor has {len(shape)} dimensions, at most {_MAX_RANK} can be read")
    if math.prod([size for size in shape if size]) > _MAX_ELEMENTS:
        raise TensorError(f"shape {list(shape)} has more than 2^63 elements")
    return shape


def _head(array: NDArray[Any], kind: WireType) -> TensorProto:
    """A tensor of this dtype and shape, without elements."""
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in array.shape])
    return TensorProto(dtype=kind.number, tensor_shape=shape)  # type: ignore[arg-type]


def _add_strings(proto: TensorProto, array: NDArray[Any]) -> None:
    strings: list[Any] = array.reshape(-1).tolist()
    try:
        proto.string_val.extend(strings)  # all or none: protobuf takes bytes only
    except TypeError:
        proto.string_val.extend(_utf8(strings))


def _utf8(strings: list[Any]) -> list[bytes]:
    try:
        return list(map(str.encode, strings))
    except (TypeError, UnicodeEncodeError):
        pass  # bytes among them, or something else
    try:
        return [text if isinstance(text, bytes) else text.encode() for text in strings]
    except (AttributeError, UnicodeEncodeError) as error:
        bad = next(text for text in strings if not _is_text(text))
        raise TensorError(f"strings must be bytes, or str that UTF-8 holds, got {bad!r}") from error


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return isinstance(value, bytes)
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _merge_packed(proto: TensorProto, number: int, array: NDArray[Any]) -> None:
    proto.MergeFromString(b"".join([_wire.delimited(number, array.nbytes), memory_of(array)]))


def _opened(
    tensor: TensorProto | bytes | memoryview,
) -> tuple[TensorProto, bytes | memoryview, NDArray[Any] | None]:
    """A tensor, its content, and the values that were kept out of it, if any were."""
    if isinstance(tensor, TensorProto):
        return tensor, tensor.tensor_content, None
    raw = memoryview(tensor)
    large = _large_field(raw)
    try:
        if large is not None:
            rest = TensorProto.FromString(_wire.without(raw, large))
            payload = raw[large.begin : large.end]
            if large.number == _CONTENT:
                return rest, payload, None
            kind = _dtypes.by_number(rest.dtype)
            if kind is not None and kind.field in PACKED:
                number, dtype = PACKED[kind.field]
                if number == large.number and len(payload) % dtype.itemsize == 0:
                    return rest, rest.tensor_content, _elements.of_packed(payload, kind)
        proto = TensorProto.FromString(tensor)  # type: ignore[arg-type]  # memoryviews are taken
    except DecodeError as error:
        raise TensorError(f"{len(raw)} bytes are no tensor: {error}") from error
    return proto, proto.tensor_content, None


def _large_field(raw: memoryview) -> _wire.Field | None:
    """The field that is worth being kept out of protobuf, if there is one and only one."""
    if len(raw) < _LARGE_BYTES:
        return None
    try:
        fields = list(itertools.islice(_wire.fields(raw), _MOST_FIELDS))
    except _wire.WireFormatError:
        return None  # protobuf has the last word on what a message is
    large = max(fields, key=lambda field: field.size_bytes)
    if not large.is_delimited or large.size_bytes < _LARGE_BYTES or fields[-1].end < len(raw):
        return None
    return large if sum(field.number == large.number for field in fields) == 1 else None


def _float32_of_bfloat16_bits(bits: NDArray[Any]) -> NDArray[np.float32]:
    return (bits.astype(np.uint32) << 16).view(np.float32)
