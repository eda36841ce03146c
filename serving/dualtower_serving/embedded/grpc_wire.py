"""gRPC over HTTP/2 (its PROTOCOL-HTTP2 document): headers, timeouts, messages, statuses. Pure."""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

from hpack import Encoder, NeverIndexedHeaderTuple

from dualtower_serving.embedded.status import Code, StatusError

__all__ = [
    "ANSWER_HEAD",
    "ANSWER_TAIL",
    "PREFIX_BYTES",
    "Incoming",
    "Request",
    "UnfitRequest",
    "error_block",
    "http_error_block",
    "message",
    "read_headers",
    "unpack",
]

PREFIX_BYTES = 5
_ACCEPTED = "identity,deflate,gzip"
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_NS = {
    b"H": 3600 * 10**9,
    b"M": 60 * 10**9,
    b"S": 10**9,
    b"m": 10**6,
    b"u": 10**3,
    b"n": 1,
}
# all of ASCII that may stand in grpc-message as it is: space to ~, but for %
_UNQUOTED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class UnfitRequest(Exception):
    """It is HTTP, but no call of gRPC.

    Attributes:
        status: HTTP's.
    """

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


@dataclass(frozen=True)
class Request:
    """What the headers of a call say.

    Attributes:
        path: "/package.Service/Method".
        timeout_ns: the caller's time, None: for ever.
        encoding: of messages that are packed.
    """

    path: str
    timeout_ns: int | None = None
    encoding: str = "identity"


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> Request:
    """The call that these headers begin.

    Raises:
        UnfitRequest: no POST, or not of gRPC's content type.
        StatusError: INTERNAL, a timeout that is none; UNIMPLEMENTED, an encoding that is not known.
    """
    found = dict(headers)
    if found.get(b":method") != b"POST":
        raise UnfitRequest(405)
    if not found.get(b"content-type", b"").startswith(b"application/grpc"):
        raise UnfitRequest(415)
    path = found.get(b":path", b"").decode("ascii", "replace")
    encoding = found.get(b"grpc-encoding", b"identity").decode("ascii", "replace")
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise StatusError(
            Code.UNIMPLEMENTED, f"messages packed by {encoding!r} cannot be read; use {_ACCEPTED}"
        )
    text = found.get(b"grpc-timeout")
    if text is None:
        return Request(path, None, encoding)
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise StatusError(Code.INTERNAL, f"{text!r} is no grpc-timeout")
    return Request(path, int(match[1]) * _UNIT_NS[match[2]], encoding)


class Incoming:
    """The only message of a unary call, as it comes.

    Args:
        max_bytes: the largest that is taken, as sent.
    """

    __slots__ = ("_data", "_max_bytes", "_size", "packed")

    def __init__(self, max_bytes: int) -> None:
        self.packed = False
        self._data = bytearray()
        self._size: int | None = None
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Further bytes.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the message is too large, which its first bytes say;
                UNIMPLEMENTED, a second message follows; INTERNAL, the bytes are no message.
        """
        self._data += data
        if self._size is None and len(self._data) >= PREFIX_BYTES:
            flag = self._data[0]
            if flag > 1:
                raise StatusError(Code.INTERNAL, f"a message whose flag is {flag}, not 0 or 1")
            self.packed = flag == 1
            size = self._size = int.from_bytes(self._data[1:PREFIX_BYTES], "big")
            if size > self._max_bytes:
                raise StatusError(
                    Code.RESOURCE_EXHAUSTED,
                    f"Received message larger than max ({size} vs. {self._max_bytes})",
                )
        if self._size is not None and len(self._data) > PREFIX_BYTES + self._size:
            raise StatusError(Code.UNIMPLEMENTED, "more than one message; a call has one")

    def end(self) -> bytes:
        """The message without its prefix, once the caller has sent all.

        Raises:
            StatusError: UNIMPLEMENTED, there is none; INTERNAL, it is cut off.
        """
        if not self._data:
            raise StatusError(Code.UNIMPLEMENTED, "the call ended without a message")
        if self._size is None or len(self._data) != PREFIX_BYTES + self._size:
            raise StatusError(Code.INTERNAL, "the call ended within its message")
        return bytes(memoryview(self._data)[PREFIX_BYTES:])


def unpack(raw: bytes, encoding: str, max_bytes: int) -> bytes:
    """A message that was sent packed.

    Raises:
        StatusError: INTERNAL, it cannot be unpacked; RESOURCE_EXHAUSTED, it is larger than that.
    """
    if encoding not in _WINDOW_BITS:
        raise StatusError(Code.INTERNAL, "a packed message in a call without grpc-encoding")
    reader = zlib.decompressobj(wbits=_WINDOW_BITS[encoding])
    try:
        found = reader.decompress(raw, max_bytes + 1)
    except zlib.error as error:
        raise StatusError(Code.INTERNAL, f"the message is no {encoding}: {error}") from error
    if len(found) > max_bytes:
        raise StatusError(
            Code.RESOURCE_EXHAUSTED, f"Unpacked message larger than max ({max_bytes})"
        )
    if not reader.eof:
        raise StatusError(Code.INTERNAL, f"the message is {encoding} that was cut off")
    return found


def message(raw: bytes) -> bytes:
    """A message with its prefix."""
    return b"\0" + len(raw).to_bytes(4, "big") + raw


def error_block(code: int, text: str) -> bytes:
    """The headers of an answer that is an error and nothing else."""
    return _block(
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-accept-encoding", _ACCEPTED),
        ("grpc-status", str(code)),
        ("grpc-message", quote_from_bytes(text.encode("utf-8", "replace"), _UNQUOTED)),
    )


def http_error_block(status: int) -> bytes:
    """The headers of an answer to what is no call of gRPC."""
    return _block((":status", str(status)))


def _block(*headers: tuple[str, str]) -> bytes:
    """Headers in HPACK (RFC 7541) that no table is to remember: the same bytes for every peer."""
    block = _encoder.encode([NeverIndexedHeaderTuple(*one) for one in headers], huffman=False)
    return bytes(block)


_encoder = Encoder()  # remembers nothing, see above
ANSWER_HEAD = _block(
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-accept-encoding", _ACCEPTED),
    ("dualtower-instance", uuid.uuid4().hex),  # by which clients tell this run from the next one
)
ANSWER_TAIL = _block(("grpc-status", "0"))
