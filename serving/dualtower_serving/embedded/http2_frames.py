"""Frames of HTTP/2 (RFC 9113): their numbers, bytes into frames, frames into bytes. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = [
    "CONTINUATION",
    "DATA",
    "DEFAULT_WINDOW",
    "GOAWAY",
    "HEADERS",
    "MAX_WINDOW",
    "MIN_MAX_FRAME",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "ErrorCode",
    "Flag",
    "Frame",
    "FrameReader",
    "Http2Error",
    "Setting",
    "frame",
    "go_away",
    "read_settings",
    "read_u32",
    "reset",
    "settings",
    "unpadded",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535
MAX_WINDOW = (1 << 31) - 1
MIN_MAX_FRAME = 16_384  # what every peer takes, and all that we take
_MAX_MAX_FRAME = (1 << 24) - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION = 9


class Flag:
    """Bits of a frame's flags."""

    ACK = 0x1
    END_STREAM = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting:
    """Numbers of settings, as far as they are read or sent."""

    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode:
    """Why a stream or a connection ends."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class Http2Error(Exception):
    """The peer broke the protocol; its connection ends.

    Attributes:
        code: a number of `ErrorCode`.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


_HEAD = struct.Struct(">HBBBL")  # 24 bits of length, type, flags, stream
_HEAD_BYTES = _HEAD.size
_SETTING = struct.Struct(">HL")
_U32 = struct.Struct(">L")
_STREAM_BITS = 0x7FFF_FFFF


class FrameReader:
    """Cuts a connection's bytes into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now.

        Raises:
            Http2Error: one is longer than `MIN_MAX_FRAME`.
        """
        if self._rest:
            data = self._rest + data
        found = []
        place, end = 0, len(data)
        while end - place >= _HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, place)
            length = high << 8 | low
            if length > MIN_MAX_FRAME:
                raise Http2Error(
                    ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes, over {MIN_MAX_FRAME}"
                )
            begin = place + _HEAD_BYTES
            if end - begin < length:
                break
            place = begin + length
            found.append(Frame(kind, flags, stream_id & _STREAM_BITS, data[begin:place]))
        self._rest = data[place:]
        return found


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*one) for one in values.items()))


def window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _U32.pack(increment))


def reset(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _U32.pack(code))


def go_away(last_stream_id: int, code: int, message: str = "") -> bytes:
    """A GOAWAY frame."""
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last_stream_id, code) + message.encode()[:200])


def read_settings(payload: bytes) -> dict[int, int]:
    """The settings of a frame, unknown ones left out.

    Raises:
        Http2Error: a length or a value that the RFC forbids.
    """
    if len(payload) % _SETTING.size:
        raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    found = dict(_SETTING.iter_unpack(payload))
    if found.get(Setting.ENABLE_PUSH, 0) > 1:
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
    if found.get(Setting.INITIAL_WINDOW_SIZE, 0) > MAX_WINDOW:
        raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31 - 1")
    if not MIN_MAX_FRAME <= found.get(Setting.MAX_FRAME_SIZE, MIN_MAX_FRAME) <= _MAX_MAX_FRAME:
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of its range")
    return found


def read_u32(payload: bytes, kind: str) -> int:
    """The only number of a WINDOW_UPDATE or RST_STREAM frame, its highest bit left out.

    Raises:
        Http2Error: another length.
    """
    if len(payload) != _U32.size:
        raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, f"{kind} of {len(payload)} bytes")
    return int(_U32.unpack(payload)[0]) & _STREAM_BITS


def unpadded(one: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and priority.

    Raises:
        Http2Error: more padding than payload.
    """
    payload, padding = one.payload, 0
    if one.flags & Flag.PADDED:
        if not payload:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without its length")
        padding, payload = payload[0], payload[1:]
    if one.kind == HEADERS and one.flags & Flag.PRIORITY:
        if len(payload) < 5:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "HEADERS cut within their priority")
        payload = payload[5:]
    if padding > len(payload):
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[: len(payload) - padding] if padding else payload
