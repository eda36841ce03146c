"""PredictRequest and PredictResponse as bytes, past protobuf where the arrays are.

    arrays  --write_request-->  bytes of a PredictRequest    one copy of each array
    bytes of a PredictResponse  --read_response-->  a tensor for each output, for `codec.decode`

The map of tensors is found by hand; all other fields are left to protobuf, as is a message that is
small, or that is not as everyone writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from google.protobuf.message import Message
from numpy.typing import ArrayLike

from dualtower_clients import _wire, codec
from dualtower_clients._arrays import MAX_MESSAGE_BYTES
from dualtower_clients._messages import is_kind
from dualtower_clients.errors import TensorError
from dualtower_clients.proto.inference_pb2 import ModelSpec, PredictRequest, PredictResponse
from dualtower_clients.proto.tensor_pb2 import TensorProto

__all__ = ["Input", "read_response", "write_request"]

_INPUTS, _OUTPUTS = 2, 1  # field numbers: of the maps,
_KEY, _VALUE = 1, 2  # and of an entry of any map
_LARGE_BYTES = 4096  # a smaller message is read by protobuf sooner than by hand

Input: TypeAlias = "ArrayLike | Message"  # a TensorProto, ours or TensorFlow's


def write_request(
    spec: ModelSpec, inputs: Mapping[str, Input], outputs: Iterable[str] = ()
) -> bytes:
    """A PredictRequest; `outputs` empty asks for all of them. Tensors travel as they are.

    Raises:
        TensorError: an input cannot travel, or all of them are too large for one message.
    """
    parts: list[bytes | memoryview] = [
        PredictRequest(model_spec=spec, output_filter=outputs).SerializeToString()
    ]
    for alias, value in inputs.items():
        try:
            key, tensor = alias.encode(), _parts(value)
        except (TensorError, UnicodeEncodeError) as error:
            raise TensorError(
                f"input {alias!r} of {spec.name!r}: {error}", model=spec.name
            ) from error
        size = sum(map(len, tensor))
        head = _wire.delimited(_KEY, len(key)) + key + _wire.delimited(_VALUE, size)
        parts += [_wire.delimited(_INPUTS, len(head) + size), head, *tensor]
    size = sum(map(len, parts))
    if size > MAX_MESSAGE_BYTES:
        raise TensorError(
            f"the inputs of {spec.name!r} are {size} bytes, a message holds at most "
            f"{MAX_MESSAGE_BYTES}; send them in parts",
            model=spec.name,
        )
    return b"".join(parts)


def _parts(value: Input) -> list[bytes | memoryview]:
    if not isinstance(value, Message):
        return codec.encoded_parts(value)
    if not is_kind(value, TensorProto):
        raise TensorError(
            f"a message of the type {value.DESCRIPTOR.name} cannot be sent, only TensorProto"
        )
    return [value.SerializeToString()]


def read_response(raw: bytes) -> tuple[ModelSpec, dict[str, TensorProto | memoryview]]:
    """Who answered, and the outputs.

    Raises:
        DecodeError: the bytes are no PredictResponse.
    """
    if len(raw) >= _LARGE_BYTES:
        try:
            return _read_by_hand(memoryview(raw))
        except (_wire.WireFormatError, UnicodeDecodeError):
            pass  # protobuf has the last word on what a message is
    response = PredictResponse.FromString(raw)
    return response.model_spec, dict(response.outputs)


def _read_by_hand(raw: memoryview) -> tuple[ModelSpec, dict[str, TensorProto | memoryview]]:
    outputs: dict[str, TensorProto | memoryview] = {}
    rest = []
    for field in _wire.fields(raw):
        if field.number == _OUTPUTS and field.is_delimited:
            alias, tensor = _entry(raw[field.begin : field.end])
            outputs[alias] = tensor
        else:
            rest.append(raw[field.start : field.end])
    return PredictResponse.FromString(b"".join(rest)).model_spec, outputs


def _entry(raw: memoryview) -> tuple[str, memoryview]:
    """Key and value, as every writer of maps puts them down."""
    found = list(_wire.fields(raw))
    if [(field.number, field.is_delimited) for field in found] != [(_KEY, True), (_VALUE, True)]:
        raise _wire.WireFormatError("no entry of one key and one value")
    key, value = found
    return str(raw[key.begin : key.end], "utf-8"), raw[value.begin : value.end]
