"""The codec against TensorFlow's own conversion, and against its rules for odd tensors."""

from __future__ import annotations

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2 as official_pb2

from dualtower_clients import TensorError, decode, encode, encode_values
from dualtower_clients.codec import encode_bytes
from dualtower_clients.proto.tensor_pb2 import DataType, TensorProto

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMBERS = [*INTEGERS, "bool", "float16", "float32", "float64", "complex64", "complex128"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def official(proto: TensorProto) -> official_pb2.TensorProto:
    return official_pb2.TensorProto.FromString(proto.SerializeToString())


def ours(proto: official_pb2.TensorProto) -> TensorProto:
    return TensorProto.FromString(proto.SerializeToString())


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
    assert not decode(encode(array)).flags.writeable
    np.testing.assert_array_equal(decode(encode(array, string_content=True)), array)
    parsed = tf.io.parse_tensor(encode(array, string_content=True).SerializeToString(), tf.string)
    np.testing.assert_array_equal(np.array(parsed.numpy(), object), array)


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


@pytest.mark.parametrize("name", [*NUMBERS, "bfloat16"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3)], ids=str)
def test_every_dtype_travels_in_every_way_and_every_shape(name, shape):
    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else name
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    for sent in (encode(array), encode_values(array), encode_bytes(array)):
        found = decode(sent)
        assert (found.shape, found.dtype) == (shape, array.dtype)
        assert not found.flags.writeable
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "int4", "uint4", "int2"])
def test_dtypes_of_few_bits_are_refused_by_name(name):
    array = np.zeros(2, getattr(ml_dtypes, name))
    with pytest.raises(TensorError, match=f"{name} cannot be sent; cast .* bfloat16"):
        encode(array)
    with pytest.raises(TensorError, match=f"DT_{name.upper()} cannot be read"):
        decode(TensorProto(dtype=DataType.Value(f"DT_{name.upper()}")))


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
    for sent in (encode(array), encode_values(array), encode_bytes(array)):
        np.testing.assert_array_equal(decode(sent), array)
    theirs = tf.make_ndarray(official_pb2.TensorProto.FromString(encode_bytes(array)))
    np.testing.assert_array_equal(theirs, array)
    np.testing.assert_array_equal(decode(tf.make_tensor_proto(array).SerializeToString()), array)


def test_an_array_that_no_message_holds_is_refused_before_it_is_copied():
    vast = np.broadcast_to(np.float32(1), (1 << 30,))
    for send in (encode, encode_bytes, encode_values):
        with pytest.raises(TensorError, match="4294967296 bytes, a message holds at most"):
            send(vast)


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
        (["a", b"\xff"], [b"a", b"\xff"]),
        (np.array(["ab", "a longer one"], np.dtypes.StringDType()), [b"ab", b"a longer one"]),
        (np.array([b"ab", "c"], object), [b"ab", b"c"]),
        ([np.array(["ab"]), np.array(["c"])], [[b"ab"], [b"c"]]),
    ],
)
def test_text_is_sent_as_utf8_and_comes_back_as_bytes(value, want):
    assert decode(encode(value)).tolist() == want


def test_other_layouts_are_sent_in_c_order_and_little_endian():
    array = np.arange(6).reshape(2, 3)
    assert decode(encode(array.T)).tolist() == array.T.tolist()
    assert decode(encode(array.astype(">i8"))).tolist() == array.tolist()
    assert decode(encode_values(array[:, ::2])).tolist() == array[:, ::2].tolist()


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", None],
        ["a", 1],
        [["a"], ["b", "c"]],
        np.longdouble(1),
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
