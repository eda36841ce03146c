"""Tensors whose parts do not fit: read as TensorFlow's own reader of messages reads them.

The oracle is `tf.io.parse_tensor`, the code in C++ that a model server feeds its graphs with.
`tf.make_ndarray` is one in Python, and differs where lists are short or dtypes have other fields.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dualtower_clients import TensorError, decode, encode
from dualtower_clients.proto.tensor_pb2 import DataType, TensorProto, TensorShapeProto

FIELDS = {
    "bool": "bool_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "int64": "int64_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "half": "half_val",
    "bfloat16": "half_val",
    "float": "float_val",
    "double": "double_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    "string": "string_val",
}


def integers(bits: int, *, signed: bool):
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


VALUES = {
    "bool_val": st.booleans(),
    "int_val": integers(32, signed=True),
    "int64_val": integers(64, signed=True),
    "uint32_val": integers(32, signed=False),
    "uint64_val": integers(64, signed=False),
    "half_val": integers(32, signed=True),
    "float_val": st.floats(width=32),
    "double_val": st.floats(),
    "scomplex_val": st.floats(width=32),
    "dcomplex_val": st.floats(),
    "string_val": st.binary(max_size=3),
}


def shaped(*sizes: int) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def number(name: str) -> int:
    return DataType.Value(f"DT_{name.upper()}")


@st.composite
def tensors(draw) -> TensorProto:
    """Of any dtype: its own list too short, too long or empty, and lists of other dtypes beside."""
    name = draw(st.sampled_from(sorted(FIELDS)))
    proto = TensorProto(
        dtype=number(name),
        tensor_shape=shaped(*draw(st.lists(st.integers(0, 3), max_size=3))),
        version_number=draw(st.integers(0, 2)),
    )
    for field in {FIELDS[name], draw(st.sampled_from(sorted(VALUES)))}:
        getattr(proto, field).extend(draw(st.lists(VALUES[field], max_size=20)))
    if draw(st.booleans()):
        proto.tensor_content = draw(st.binary(max_size=24))
    proto.tensor_shape.unknown_rank = draw(st.sampled_from([False, False, False, True]))
    return proto


def theirs(proto: TensorProto) -> tf.Tensor | None:
    try:
        return tf.io.parse_tensor(proto.SerializeToString(), tf.dtypes.as_dtype(proto.dtype))
    except tf.errors.InvalidArgumentError:
        return None


@settings(max_examples=500, deadline=None)
@given(tensors())
@example(TensorProto(dtype="DT_BFLOAT16", tensor_shape=TensorShapeProto(), half_val=[-1]))
@example(TensorProto(dtype="DT_STRING", tensor_shape=TensorShapeProto(), string_val=[b"a\0"]))
def test_odd_tensors_are_read_as_tensorflow_reads_them(proto):
    want = theirs(proto)
    if want is None:
        with pytest.raises(TensorError):
            decode(proto)
        return
    found = decode(proto)
    assert (found.shape, found.dtype) == (tuple(want.shape), want.dtype.as_numpy_dtype)
    if want.dtype == tf.string:  # a scalar's numpy() would lose a NUL at its end
        assert found.ravel().tolist() == tf.reshape(want, [-1]).numpy().tolist()
    elif want.dtype == tf.bfloat16:  # numpy does not know that its NaN are NaN
        np.testing.assert_array_equal(found.astype(np.float32), want.numpy().astype(np.float32))
    else:
        np.testing.assert_array_equal(found, want.numpy())


def test_one_value_fills_and_a_short_list_repeats_its_last():
    proto = TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(2, 2), float_val=[5, 6])
    assert decode(proto).tolist() == [[5, 6], [6, 6]]
    text = TensorProto(dtype="DT_STRING", tensor_shape=shaped(3), string_val=[b"a", b"b"])
    assert decode(text).tolist() == [b"a", b"b", b"b"]


def test_no_values_are_zeros_or_empty_strings():
    assert decode(TensorProto(dtype="DT_INT64", tensor_shape=shaped(2))).tolist() == [0, 0]
    assert decode(TensorProto(dtype="DT_STRING", tensor_shape=shaped(2))).tolist() == [b"", b""]
    assert decode(TensorProto(dtype="DT_BOOL", tensor_shape=shaped(1))).tolist() == [False]


def test_surplus_values_are_ignored():
    proto = TensorProto(dtype="DT_INT32", tensor_shape=shaped(2), int_val=[1, 2, 3])
    assert decode(proto).tolist() == [1, 2]


def test_content_wins_over_values():
    proto = encode(np.float32([1.0]))
    proto.float_val.append(9.0)
    assert decode(proto).tolist() == [1.0]


def test_the_value_field_of_another_dtype_is_ignored():
    proto = TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(2), double_val=[1, 2])
    assert decode(proto).tolist() == [0, 0]


def test_too_large_integers_wrap_as_in_c():
    proto = TensorProto(dtype="DT_UINT8", tensor_shape=shaped(2), int_val=[257, -1])
    assert decode(proto).tolist() == [1, 255]


def test_no_dimensions_are_a_scalar_whatever_is_said_of_the_rank():
    assert decode(TensorProto(dtype="DT_FLOAT", float_val=[2.0])).shape == ()
    unknown = TensorProto(dtype="DT_FLOAT", float_val=[2.0])
    unknown.tensor_shape.unknown_rank = True
    assert decode(unknown).shape == ()
    unknown.tensor_shape.dim.add(size=1)
    assert decode(unknown).shape == (1,)


def test_a_scalar_is_the_first_of_a_list():
    assert decode(TensorProto(dtype="DT_INT64", int64_val=[7, 8])).tolist() == 7
    assert decode(TensorProto(dtype="DT_STRING", string_val=[b"a", b"b"])).tolist() == b"a"


def test_content_is_ignored_where_there_are_no_elements():
    proto = TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(0), tensor_content=b"abc")
    assert decode(proto).shape == (0,)


@pytest.mark.parametrize(
    "proto",
    [
        TensorProto(),
        TensorProto(dtype="DT_RESOURCE"),
        TensorProto(dtype="DT_QINT8", int_val=[1]),
        TensorProto(dtype="DT_FLOAT8_E4M3FN", float8_val=b"\0"),
        TensorProto(dtype=999),
        TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(-1, 2)),
        TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(2**62, 2**62)),
        TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(0, 2**62, 2**62)),
        TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(*[1] * 100)),
        TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(10**12), float_val=[1.0]),
        TensorProto(dtype="DT_STRING", tensor_shape=shaped(10**12)),
        TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(2), tensor_content=b"\0" * 7),
        TensorProto(dtype="DT_STRING", tensor_shape=shaped(2), tensor_content=b"\x05\x01ab"),
        TensorProto(dtype="DT_STRING", tensor_shape=shaped(1), tensor_content=b"\xff" * 12),
        TensorProto(dtype="DT_STRING", tensor_shape=shaped(2**40), tensor_content=b"\x00"),
    ],
    ids=lambda proto: str(proto).replace("\n", " ")[:50],
)
def test_hostile_tensors_are_an_error_of_ours(proto):
    with pytest.raises(TensorError):
        decode(proto)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([1, 3, 7, 9, 10, 14, 18, 23]))
@example(b"\x12\x02\x12\x00", 1)
def test_random_tensors_have_their_shape_or_are_an_error_of_ours(raw, dtype):
    proto = TensorProto(dtype=dtype)
    try:
        proto.MergeFromString(raw)
    except DecodeError:
        return
    try:
        array = decode(proto, max_fill_bytes=1 << 20)
    except TensorError:  # and nothing else
        return
    assert array.shape == tuple(dim.size for dim in proto.tensor_shape.dim)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(min_size=1, max_size=60),
    st.sampled_from(["bool", "float16", "float32", "int64", "uint8", "complex128"]),
    st.lists(st.integers(1, 4), max_size=3),
)
@example(bytes(24), "float32", [2, 3])
def test_content_is_read_exactly_where_it_fits_the_shape(content, name, sizes):
    number = encode(np.zeros(1, name)).dtype
    proto = TensorProto(dtype=number, tensor_shape=shaped(*sizes), tensor_content=content)
    if len(content) != math.prod(sizes) * np.dtype(name).itemsize:
        with pytest.raises(TensorError, match=f"tensor_content has {len(content)} bytes"):
            decode(proto)
        return
    if name == "bool" and max(content) > 1:
        with pytest.raises(TensorError, match="neither 0 nor 1"):
            decode(proto)
        return
    found = decode(proto)
    assert (found.shape, found.dtype) == (tuple(sizes), np.dtype(name))
    assert found.tobytes() == content
