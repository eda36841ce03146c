"""The little of protobuf's wire format that arrays are written and read with by hand.

    message = field*      field = tag varint, payload      tag = number << 3 | wire type

protobuf copies the bytes of a tensor into memory of its own, and out of it again. Where a payload
is the memory of an array, it is cut out of a message here, and the rest is left to protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Field", "WireFormatError", "delimited", "fields", "varint", "without"]

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES = 10


class WireFormatError(ValueError):
    """These bytes are no message, or one with groups, which only protobuf's own parser reads."""


class Field(NamedTuple):
    """Where a field lies: its tag at `start`, its payload from `begin` to `end`."""

    number: int
    is_delimited: bool
    start: int
    begin: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Of the payload."""
        return self.end - self.begin


def varint(number: int) -> bytes:
    """A number in groups of seven bits, lowest first."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def delimited(number: int, size_bytes: int) -> bytes:
    """What stands before a payload of bytes, of a message, or of a packed list."""
    return varint(number << 3 | _DELIMITED) + varint(size_bytes)


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order; what is inside of them is not looked at.

    Raises:
        WireFormatError: the message ends within a field, or has groups.
    """
    start = 0
    while start < len(message):
        tag, begin = _read_varint(message, start)
        kind = tag & 7
        if kind == _DELIMITED:
            size, begin = _read_varint(message, begin)
            end = begin + size
        elif kind == _VARINT:
            _, end = _read_varint(message, begin)
        elif kind in _FIXED_BYTES:
            end = begin + _FIXED_BYTES[kind]
        else:
            raise WireFormatError(f"field {tag >> 3} has wire type {kind}")
        if end > len(message):
            raise WireFormatError(f"field {tag >> 3} ends after its message")
        yield Field(tag >> 3, kind == _DELIMITED, start, begin, end)
        start = end


def without(message: memoryview, field: Field) -> bytes:
    """The message less one of its fields."""
    return b"".join([message[: field.start], message[field.end :]])


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number, and where it ends."""
    if position < len(message) and message[position] < 0x80:  # most are of one byte
        return message[position], position + 1
    number = shift = 0
    for index in range(position, min(position + _VARINT_BYTES, len(message))):
        byte = message[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, index + 1
        shift += 7
    raise WireFormatError("a number without an end")
