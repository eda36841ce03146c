"""Messages that no well-meaning client sends, made out of good ones. Pure; the same for a seed.

good message ─► changed as a message (huge, negative, missing, foreign fields) ─► changed as bytes
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from dualtower_clients.proto import examples_pb2, inference_pb2, management_pb2, tensor_pb2

PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"

_NUMBERS = (
    0,
    1,
    -1,
    7,
    1 << 20,
    1 << 31,
    (1 << 31) - 1,
    -(1 << 31),
    1 << 40,
    (1 << 63) - 1,
    -(1 << 63),
)
_TEXTS = (
    "",
    "examples",
    "item_tower",
    "x",
    "é" * 300,
    "\x00",
    "../..",
    "a" * 70_000,
    "%s%n",
    "'\"",
)


def tensor(values: list[bytes]) -> tensor_pb2.TensorProto:
    made = tensor_pb2.TensorProto(dtype=tensor_pb2.DT_STRING, string_val=values)
    made.tensor_shape.dim.add(size=len(values))
    return made


def good_messages() -> list[tuple[str, Message]]:
    """`(method, request)` of every method but the one that configures."""
    predict = inference_pb2.PredictRequest(inputs={"text": tensor([b"a", b"b"])})
    predict.model_spec.name = "item_tower"
    listed = examples_pb2.Input()
    listed.example_list.examples.add().features.feature["x"].float_list.value.append(0.5)
    shared = examples_pb2.Input()
    shared.example_list_with_context.context.features.feature["w"].float_list.value.append(0.5)
    shared.example_list_with_context.examples.add().features.feature["x"].float_list.value.append(1)
    regress = examples_pb2.RegressionRequest(input=listed)
    regress.model_spec.name = "examples"
    classify = examples_pb2.ClassificationRequest(input=shared)
    classify.model_spec.name = "examples"
    classify.model_spec.signature_name = "classify"
    several = examples_pb2.MultiInferenceRequest(input=listed)
    several.tasks.add(model_spec=regress.model_spec, method_name="tensorflow/serving/regress")
    several.tasks.add(model_spec=classify.model_spec, method_name="tensorflow/serving/classify")
    metadata = inference_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "examples"
    status = management_pb2.GetModelStatusRequest()
    status.model_spec.name = "examples"
    return [
        (PREDICTION + "Predict", predict),
        (PREDICTION + "Regress", regress),
        (PREDICTION + "Classify", classify),
        (PREDICTION + "MultiInference", several),
        (PREDICTION + "GetModelMetadata", metadata),
        (MODEL + "GetModelStatus", status),
    ]


def broken_messages(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`(method, bytes)`: one in eight stays good, so that a server is seen to go on."""
    chance = random.Random(seed)
    good = good_messages()
    for number in range(count):
        method, message = chance.choice(good)
        raw = message.SerializeToString()
        if number % 8:
            changed = type(message)()
            changed.CopyFrom(message)
            for _ in range(chance.randrange(3)):
                _change_field(chance, changed)
            raw = changed.SerializeToString()
            for _ in range(chance.randrange(3)):
                raw = chance.choice(_BYTE_CHANGES)(chance, raw)
        yield method, raw


def _change_field(chance: random.Random, message: Message) -> None:
    """Changes one field somewhere inside."""
    field = chance.choice(message.DESCRIPTOR.fields)
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if chance.random() < 0.1:
        message.ClearField(field.name)
    elif is_map:
        _change_map(chance, message, field)
    elif field.message_type is not None and not field.is_repeated:
        _change_field(chance, getattr(message, field.name))
    elif field.message_type is not None:
        below = getattr(message, field.name)
        one = below.add() if not below or chance.random() < 0.3 else chance.choice(below)
        _change_field(chance, one)
    elif field.is_repeated:
        values = [_value(chance, field) for _ in range(chance.choice((1, 2, 9, 3000)))]
        getattr(message, field.name).extend(values)
    else:
        setattr(message, field.name, _value(chance, field))


def _change_map(chance: random.Random, message: Message, field) -> None:
    entries = getattr(message, field.name)
    key = chance.choice([*entries, "x", "inputs", "no such name"])
    value = field.message_type.fields_by_name["value"]
    if value.message_type is not None:
        _change_field(chance, entries[key])


def _value(chance: random.Random, field) -> object:
    if field.type == field.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == field.TYPE_ENUM:
        return chance.choice((0, 1, 3, 7, 20, 21, 33, 101, 9999, -5))
    if field.type == field.TYPE_STRING:
        return chance.choice(_TEXTS)
    if field.type == field.TYPE_BYTES:
        return chance.choice(_TEXTS).encode() + chance.randbytes(chance.randrange(9))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return chance.choice((0.0, -1.5, float("inf"), float("nan"), 3e38))
    number = chance.choice(_NUMBERS)
    bits = 31 if field.type in (field.TYPE_INT32, field.TYPE_SINT32) else 63
    if field.type in (field.TYPE_UINT32, field.TYPE_UINT64):
        return abs(number) % (1 << (32 if field.type == field.TYPE_UINT32 else 64))
    return max(-(1 << bits), min((1 << bits) - 1, number))


def _flip(chance: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw or b"\x00")
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, raw: bytes) -> bytes:
    return raw[: chance.randrange(len(raw) + 1)]


def _splice(chance: random.Random, raw: bytes) -> bytes:
    at = chance.randrange(len(raw) + 1)
    return raw[:at] + chance.randbytes(chance.randrange(1, 30)) + raw[at:]


def _repeat(chance: random.Random, raw: bytes) -> bytes:
    return raw[:5_000] * chance.choice((2, 3, 50))


def _nest(chance: random.Random, raw: bytes) -> bytes:
    """Messages within messages, deeper than any parser should follow."""
    for _ in range(chance.choice((3, 150, 2_000))):
        raw = bytes([chance.choice((0x0A, 0x12, 0x1A))]) + _varint(len(raw)) + raw
        if len(raw) > 100_000:
            break
    return raw


def _groups(chance: random.Random, raw: bytes) -> bytes:
    """Groups, which proto3 has not, opened and never closed."""
    return b"\x0b" * chance.choice((1, 99, 101, 20_000)) + raw


def _long_length(chance: random.Random, raw: bytes) -> bytes:
    return (
        bytes([chance.choice((0x0A, 0x12))]) + _varint(1 << chance.choice((20, 31, 32, 62))) + raw
    )


def _fixed(chance: random.Random, raw: bytes) -> bytes:
    return raw + b"\x2d" + struct.pack("<f", float("nan")) + b"\xff" * chance.randrange(12)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


_BYTE_CHANGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _cut,
    _splice,
    _repeat,
    _nest,
    _groups,
    _long_length,
    _fixed,
)
