"""The codec against TensorFlow's own conversion, and against its rules for odd tensors."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2 as official_pb2

from dualtower_clients import TensorError, decode, encode, encode_values
from dualtower_clients.proto.tensor_pb2 import DataType, TensorProto, TensorShapeProto

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMBERS = [*INTEGERS, "bool", "float16", "float32", "float64", "complex64", "complex128"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def official(proto: TensorProto) -> official_pb2.TensorProto:
    return official_pb2.TensorProto.FromString(proto.SerializeToString())


def ours(proto: official_pb2.TensorProto) -> TensorProto:
    return TensorProto.FromString(proto.SerializeToString())


def shaped(*sizes: int) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


arrays = st.sampled_from(NUMBERS).flatmap(lambda name: hnp.arrays(name, SHAPES))
strings = hnp.arrays(object, SHAPES, elements=st.binary(max_size=6))


@settings(max_examples=300, deadline=None)
@given(arrays)
def test_numbers_agree_with_tensorflow_in_both_encodings(array):
    for proto in (encode(array), encode_values(array)):
        theirs = tf.make_ndarray(official(proto))
        assert theirs.dtype == array.dtype
        np.testing.assert_array_equal(theirs, array)
        np.testing.assert_array_equal(decode(proto), array)
    np.testing.assert_array_equal(decode(ours(tf.make_tensor_proto(array))), array)


@settings(max_examples=100, deadline=None)
@given(strings)
def test_strings_agree_with_tensorflow(array):
    for proto in (encode(array), encode_values(array)):
        np.testing.assert_array_equal(tf.make_ndarray(official(proto)), array)
        np.testing.assert_array_equal(decode(proto), array)
    np.testing.assert_array_equal(decode(encode(array, string_content=True)), array)
    parsed = tf.io.parse_tensor(encode(array, string_content=True).SerializeToString(), tf.string)
    np.testing.assert_array_equal(parsed.numpy(), array)


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 2)])
def test_bfloat16_agrees_with_tensorflow(shape):
    wide = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    array = wide.astype(tf.bfloat16.as_numpy_dtype)
    for proto in (encode(array), encode_values(array), encode(wide, dtype="bfloat16")):
        assert proto.dtype == DataType.DT_BFLOAT16
        np.testing.assert_array_equal(tf.make_ndarray(official(proto)), array)
        np.testing.assert_array_equal(decode(proto), array)


def test_rounding_to_bfloat16_is_to_nearest_even_and_keeps_nan():
    values = np.float32([1.00390625, 1.01171875, np.inf, -np.inf, np.nan, 3.4e38])
    want = values.astype(tf.bfloat16.as_numpy_dtype)
    got = decode(encode(values, dtype="bfloat16"))
    np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


def test_without_ml_dtypes_bfloat16_becomes_float32():
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import numpy as np, dualtower_clients as c\n"
        "back = c.decode(c.encode([1.5, -2.0], dtype='bfloat16'))\n"
        "assert back.dtype == np.float32 and back.tolist() == [1.5, -2.0], back\n"
        "assert c.decode(c.encode_values([1.5], dtype='bfloat16')).tolist() == [1.5]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ten_million_elements_travel():
    array = np.arange(10_000_000, dtype=np.float32)
    for proto in (encode(array), encode_values(array)):
        np.testing.assert_array_equal(decode(proto), array)


def test_content_is_read_without_a_copy():
    assert not decode(encode(np.arange(4))).flags.owndata


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("text", b"text"),
        (b"a\x00", b"a\x00"),
        (["a\x00", "é"], [b"a\x00", "é".encode()]),
        ([b"\xff"], [b"\xff"]),
        (np.array(["ab", "c"]), [b"ab", b"c"]),
        ([["a"], ["b"]], [[b"a"], [b"b"]]),
    ],
)
def test_text_is_sent_as_utf8_and_comes_back_as_bytes(value, want):
    assert decode(encode(value)).tolist() == want


def test_other_layouts_are_sent_in_c_order_and_little_endian():
    array = np.arange(6).reshape(2, 3)
    assert decode(encode(array.T)).tolist() == array.T.tolist()
    assert decode(encode(array.astype(">i8"))).tolist() == array.tolist()
    assert decode(encode_values(array[:, ::2])).tolist() == array[:, ::2].tolist()


# -- the rules of a tensor whose parts do not fit, as a real server was seen to apply them


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


def test_no_shape_and_unknown_rank_are_scalars():
    assert decode(TensorProto(dtype="DT_FLOAT", float_val=[2.0])).shape == ()
    unknown = TensorProto(dtype="DT_FLOAT", float_val=[2.0])
    unknown.tensor_shape.unknown_rank = True
    assert decode(unknown).shape == ()


def test_content_is_ignored_where_there_are_no_elements():
    proto = TensorProto(dtype="DT_FLOAT", tensor_shape=shaped(0), tensor_content=b"abc")
    assert decode(proto).shape == (0,)


@pytest.mark.parametrize(
    "proto",
    [
        TensorProto(),
        TensorProto(dtype="DT_RESOURCE"),
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
    sizes = [] if proto.tensor_shape.unknown_rank else proto.tensor_shape.dim
    assert array.shape == tuple(dim.size for dim in sizes)


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
    found = decode(proto)
    assert (found.shape, found.dtype) == (tuple(sizes), np.dtype(name))
    if name != "bool":  # any byte but 0 is true
        assert found.tobytes() == content


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", None],
        [None],
        [[1], [2, 3]],
        np.array([object()]),
        "\ud800",
        np.datetime64("2026-01-01"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_is_an_error_of_ours(value):
    with pytest.raises(TensorError):
        encode(value)


def test_an_unknown_dtype_name_is_an_error():
    with pytest.raises(TensorError, match="int7"):
        encode([1], dtype="int7")
