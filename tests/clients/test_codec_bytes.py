"""Tensors and messages read and written past protobuf: no other than through it."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow_serving.apis import predict_pb2 as official_pb2

from dualtower_clients import TensorError, _predict_bytes, _wire, codec
from dualtower_clients.codec import decode, encode, encode_bytes, encode_values
from dualtower_clients.proto.inference_pb2 import ModelSpec, PredictRequest, PredictResponse
from dualtower_clients.proto.tensor_pb2 import TensorProto

NAMES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
LARGE = 4096  # bytes, from which on payloads are found by hand
SPEC = ModelSpec(name="m", signature_name="s", version={"value": 3})


def numbers(name: str, size: int = 3 * LARGE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, size).astype(name)


@pytest.mark.parametrize("shift", range(8))
def test_memory_is_shared_at_any_address_where_it_need_not_be_aligned(shift):
    want = np.arange(LARGE, dtype=np.float64)
    raw = bytes(shift) + encode_bytes(want)
    memory = memoryview(raw)[shift:]
    shared = decode(memory, aligned=False)
    same(shared, want)
    assert np.shares_memory(shared, np.frombuffer(raw, np.uint8))
    assert not shared.flags.writeable
    same(decode(memory), want)
    assert decode(memory).flags.aligned


def through_protobuf(raw: bytes) -> np.ndarray:
    return decode(TensorProto.FromString(raw))


def same(found: np.ndarray, want: np.ndarray) -> None:
    assert (found.shape, found.dtype) == (want.shape, want.dtype)
    np.testing.assert_array_equal(found, want)


arrays = st.sampled_from(NAMES).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
)
strings = hnp.arrays(object, hnp.array_shapes(min_dims=0, min_side=0), elements=st.text(max_size=3))


@settings(max_examples=200, deadline=None)
@given(st.one_of(arrays, strings))
def test_bytes_are_those_of_the_message(array):
    assert encode_bytes(array) == encode(array).SerializeToString()


def test_bytes_of_other_layouts_and_dtypes_are_those_of_the_message():
    array = np.arange(6).reshape(2, 3)
    for value in (array.T, array[:, ::2], array.astype(">i4"), 1, [1.5], [[]], "é", b"\0"):
        assert encode_bytes(value) == encode(value).SerializeToString()
    assert (
        encode_bytes(array, dtype="bfloat16") == encode(array, dtype="bfloat16").SerializeToString()
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("write", [encode, encode_values], ids=["content", "values"])
def test_large_tensors_are_read_from_bytes_as_from_a_message(name, write):
    array = numbers(name).reshape(2, -1)
    raw = write(array).SerializeToString()
    same(decode(raw), array)
    same(decode(memoryview(raw)), array)
    same(through_protobuf(raw), array)


@pytest.mark.parametrize("write", [encode, encode_values], ids=["content", "values"])
def test_large_numbers_share_the_memory_that_they_came_in_where_its_address_allows(write):
    array = numbers("float32")
    raw = write(array).SerializeToString()
    shared = 0
    for shift in range(4):
        shifted = memoryview(bytes(shift) + raw)[shift:]
        found = decode(shifted)
        same(found, array)
        assert found.flags.aligned
        assert not found.flags.writeable
        shared += np.shares_memory(found, np.frombuffer(shifted, np.uint8))
    assert shared == 1


@pytest.mark.parametrize("count", [1000, 5000])
def test_short_and_long_lists_are_read_from_bytes_as_from_a_message(count):
    """1,000 is fewer than the shape has, 5,000 more."""
    proto = TensorProto(dtype="DT_FLOAT", float_val=np.arange(count))
    for size in (40, 60):
        proto.tensor_shape.dim.add(size=size)
    raw = proto.SerializeToString()
    same(decode(raw), through_protobuf(raw))


def test_a_last_real_part_is_dropped_from_bytes_as_from_a_message():
    proto = TensorProto(dtype="DT_COMPLEX64", scomplex_val=np.arange(3001))
    proto.tensor_shape.dim.add(size=1502)
    raw = proto.SerializeToString()
    same(decode(raw), through_protobuf(raw))


def odd_messages() -> dict[str, bytes]:
    array = numbers("float32")
    content, values = encode_bytes(array), encode_values(array).SerializeToString()
    head = encode_bytes(np.empty((len(array), 0), np.float32))
    payload = array.tobytes()
    return {
        "content twice": content + _wire.delimited(4, len(payload)) + payload[::-1],
        "an empty content after it": content + _wire.delimited(4, 0),
        "values in two parts": values + _wire.delimited(5, 8) + bytes(8),
        "values and a single one": values + b"\x2d" + bytes(4),
        "values and content": values + _wire.delimited(4, len(payload)) + payload,
        "values of another dtype": values + b"\x08\x02",
        "content of another length": content + b"\x08\x02",
        "unknown large field": head + _wire.delimited(99, LARGE) + bytes(LARGE),
        "unknown small fields": content + b"\xf8\x06\x01" * 3,
        "unpacked values": head + b"\x2d\0\0\x80\x3f" * 2000,
        "a group": content + b"\xfb\x06\xfc\x06",
        "half a float": head + _wire.delimited(5, LARGE + 1) + bytes(LARGE + 1),
        "cut off": content[:-1],
        "a varint without an end": content + b"\x08" + b"\xff" * 11,
        "field zero": content + b"\x00\x01",
        "a large string": encode_bytes([b"x" * 2 * LARGE]),
        "many strings": encode_bytes(["text"] * LARGE),
        "strings in content": encode(["text"] * LARGE, string_content=True).SerializeToString(),
    }


@pytest.mark.parametrize(
    "raw", [pytest.param(raw, id=name) for name, raw in odd_messages().items()]
)
def test_odd_messages_are_read_from_bytes_as_from_a_message(raw):
    try:
        want = through_protobuf(raw)
    except (TensorError, DecodeError):
        with pytest.raises(TensorError):
            decode(raw)
        return
    same(decode(raw), want)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["content", "values", "strings"]))
def test_broken_bytes_are_read_as_from_a_message_or_are_an_error_of_ours(data, kind):
    array = numbers("float32", 1100)
    whole = bytearray(
        {
            "content": lambda: encode_bytes(array),
            "values": lambda: encode_values(array).SerializeToString(),
            "strings": lambda: encode_bytes(["text"] * 800),
        }[kind]()
    )
    places = st.one_of(st.integers(0, 30), st.integers(0, len(whole) - 1))
    for place in data.draw(st.lists(places, min_size=1, max_size=3)):
        whole[place] = data.draw(st.integers(0, 255))
    raw = bytes(whole[: data.draw(st.one_of(st.just(len(whole)), places))])
    try:
        want = codec.decode(TensorProto.FromString(raw), max_fill_bytes=1 << 20)
    except (TensorError, DecodeError):
        with pytest.raises(TensorError):
            decode(raw, max_fill_bytes=1 << 20)
        return
    same(decode(raw, max_fill_bytes=1 << 20), want)


# -- whole messages

aliases = st.dictionaries(st.text(max_size=4), st.one_of(arrays, strings), max_size=3)


@settings(max_examples=100, deadline=None)
@given(aliases, st.lists(st.text(max_size=3), max_size=3))
def test_requests_are_those_that_the_official_type_reads(inputs, outputs):
    raw = _predict_bytes.write_request(SPEC, inputs, outputs)
    request = PredictRequest(model_spec=SPEC, output_filter=outputs)
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(encode(value))
    assert PredictRequest.FromString(raw) == request
    theirs = official_pb2.PredictRequest.FromString(raw)
    assert theirs.SerializeToString(deterministic=True) == request.SerializeToString(
        deterministic=True
    )


def response_of(outputs) -> bytes:
    response = PredictResponse(model_spec=SPEC)
    for alias, value in outputs.items():
        response.outputs[alias].CopyFrom(encode_values(value))
    return response.SerializeToString()


@settings(max_examples=100, deadline=None)
@given(aliases, st.sampled_from([0, 2000]))
def test_responses_are_read_as_through_protobuf(outputs, more):
    outputs = {**outputs, "more": np.arange(more, dtype=np.float32)}
    spec, tensors = _predict_bytes.read_response(response_of(outputs))
    assert spec == SPEC
    assert tensors.keys() == outputs.keys()
    for alias, tensor in tensors.items():
        want = np.asarray(outputs[alias])
        if want.dtype.kind == "O":
            want = np.frompyfunc(str.encode, 1, 1)(want) if want.size else want
        np.testing.assert_array_equal(decode(tensor), want)


def test_the_last_of_two_outputs_of_one_name_counts_and_model_specs_are_merged():
    one, two = numbers("float32"), numbers("float32")[::-1]
    first = PredictResponse(model_spec=ModelSpec(name="m"), outputs={"y": encode(one)})
    then = PredictResponse(model_spec=ModelSpec(signature_name="s"), outputs={"y": encode(two)})
    raw = first.SerializeToString() + then.SerializeToString()
    spec, tensors = _predict_bytes.read_response(raw)
    assert spec == PredictResponse.FromString(raw).model_spec
    same(decode(tensors["y"]), two)


def test_entries_that_nobody_writes_are_left_to_protobuf():
    tensor = encode_bytes(numbers("float32"))
    key, value = b"\x0a\x01y", _wire.delimited(2, len(tensor)) + tensor
    for entry in (value + key, value, key + value + b"\x18\x01", key + value + b"\x12\x00", key):
        raw = _wire.delimited(1, len(entry)) + entry + b"\xf8\x06\x01" * LARGE
        want = PredictResponse.FromString(raw).outputs
        _, tensors = _predict_bytes.read_response(raw)
        assert {alias: _message(one) for alias, one in tensors.items()} == dict(want)


def _message(tensor: TensorProto | memoryview) -> TensorProto:
    return tensor if isinstance(tensor, TensorProto) else TensorProto.FromString(bytes(tensor))


def decode_all(raw: bytes) -> None:
    _, tensors = _predict_bytes.read_response(raw)
    for tensor in tensors.values():
        decode(tensor, max_fill_bytes=1 << 20)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_broken_responses_are_read_as_through_protobuf_or_not_at_all(data):
    outputs = {"y": numbers("float32", 1200), "ids": np.array([b"a", b"b"], object)}
    whole = bytearray(response_of(outputs))
    places = st.one_of(
        st.integers(0, 30), st.integers(4780, len(whole) - 1), st.integers(0, len(whole) - 1)
    )
    for place in data.draw(st.lists(places, min_size=1, max_size=3)):
        whole[place] = data.draw(st.integers(0, 255))
    raw = bytes(whole[: data.draw(st.one_of(st.just(len(whole)), places))])
    try:
        want = PredictResponse.FromString(raw)
    except DecodeError:
        with pytest.raises((DecodeError, TensorError)):
            decode_all(raw)
        return
    spec, tensors = _predict_bytes.read_response(raw)
    assert spec == want.model_spec
    assert {alias: _message(one) for alias, one in tensors.items()} == dict(want.outputs)


def test_inputs_that_cannot_travel_are_named():
    with pytest.raises(TensorError, match="input 'x' of 'm': arrays of dtype datetime64"):
        _predict_bytes.write_request(SPEC, {"x": np.datetime64("2026-01-01")})
    with pytest.raises(TensorError, match=r"input .* of 'm'"):
        _predict_bytes.write_request(SPEC, {"\ud800": 1})


@example(0)
@example((1 << 64) - 1)
@given(st.integers(0, (1 << 64) - 1))
def test_numbers_of_the_wire_are_read_as_they_are_written(number):
    raw = memoryview(b"\x08" + _wire.varint(number))
    (field,) = _wire.fields(raw)
    assert (field.number, field.start, field.begin, field.end) == (1, 0, 1, len(raw))
    assert _wire.fields(memoryview(_wire.delimited(3, 2) + b"ab")).__next__().size_bytes == 2
