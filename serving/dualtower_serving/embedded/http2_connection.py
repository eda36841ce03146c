"""One connection of HTTP/2 (RFC 9113) on the event loop: frames in, streams, answers out.

    bytes ─► FrameReader ─► connection ─┬─► begin, Exchange.receive / end / close
                                        └◄─ answer ─► Outbox (the peer's windows) ─► bytes

What a peer may cost is bounded: the headers of a stream, streams at a time, the time until its
settings come, the time that a message may be on its way or an answer may wait to be read. A peer
that breaks the protocol gets GOAWAY, and its connection ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hpack import Decoder, HPACKError, OversizedHeaderListError

from dualtower_serving.embedded import http2_frames as http2
from dualtower_serving.embedded.http2_frames import (
    ErrorCode,
    Flag,
    Frame,
    FrameReader,
    Http2Error,
    Setting,
)
from dualtower_serving.embedded.http2_limits import Http2Limits
from dualtower_serving.embedded.http2_outbox import Outbox

__all__ = ["Exchange", "Http2Connection", "Shared"]

_READ_BYTES = 1 << 16
_STREAM_WINDOW = 1 << 20
_CONNECTION_WINDOW = 1 << 24
_MOST_CONTROL_BYTES = 1 << 20  # acknowledgements that a peer does not read
_WRITE_BYTES = 1 << 18  # of bodies in the transport's hands; the rest waits here
_LINGER_S = 1.0  # after GOAWAY, for a peer that still sends
_LAST_PING = b"dualtowr"

_log = logging.getLogger(__name__)


class Exchange(Protocol):
    """What happens on one stream. Called on the event loop."""

    def receive(self, data: bytes) -> None:
        """Bytes of the body."""

    def end(self) -> None:
        """The caller has sent everything."""

    def close(self) -> None:
        """The stream is over: its answer has left, or nobody waits for it any more."""


Begin = Callable[["Http2Connection", int, "list[tuple[bytes, bytes]]"], Exchange]


@dataclass
class Shared:
    """What the connections of a front share.

    Attributes:
        begin: makes what answers a stream out of the connection, its id and its headers.
        limits: see there.
        connections: those that are open.
        draining: no new streams.
        closed: set when one has gone.
        buffer: where all of them read to: what has come is taken at once.
    """

    begin: Begin
    limits: Http2Limits
    connections: set[Http2Connection] = field(default_factory=set)
    draining: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_READ_BYTES)))


class _Stream:
    """The peer's side of a stream. `heard_s` is when its last bytes came."""

    __slots__ = ("ended", "exchange", "heard_s", "unacknowledged")

    def __init__(self, heard_s: float) -> None:
        self.exchange: Exchange | None = None
        self.ended = False
        self.heard_s = heard_s
        self.unacknowledged = 0


class Http2Connection(asyncio.BufferedProtocol):
    """Made by the event loop for each caller."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._reader = FrameReader()
        self._preface = http2.PREFACE  # what is still to come of it
        self._greeted = False  # its settings have come
        self._decoder: Decoder | None = None
        self._block: tuple[Frame, bytearray] | None = None  # headers that go on in the next frame
        self._streams: dict[int, _Stream] = {}
        self._incomplete = 0  # streams of which more is to come
        self._last_id = 0  # the highest stream that the peer has opened
        self._last_taken_id = http2.MAX_WINDOW  # the highest that is answered
        self._unacknowledged = 0
        self._outbox = Outbox()
        self._controls: list[bytes] = []  # small frames to be sent after what is being read
        self._closing = False
        self._stuck = False
        self._timer: asyncio.TimerHandle | None = None
        self._made_s = self._heard_s = self._idle_s = self._moved_s = time.monotonic()
        self._unsent: tuple[int, int] | None = None

    # what answers a stream calls

    def answer(self, stream_id: int, head: bytes, body: bytes, tail: bytes) -> None:
        """Sends an answer: a block of headers, a body, a block of trailers."""
        if stream_id in self._streams:
            self._transport.write(self._outbox.answer(stream_id, head, body, tail))
            self._flush()

    def answer_short(self, stream_id: int, tail: bytes) -> None:
        """Sends an answer that is one block of headers."""
        if stream_id in self._streams:
            self._transport.write(self._outbox.answer_short(stream_id, tail))
            self._flush()

    # what the front calls

    def close(self) -> None:
        """Ends the connection now, with whatever it does."""
        self._transport.abort()

    def drain(self) -> None:
        """Asks the peer to open no more streams, answers those that it has, and closes.

        A peer may be opening one right now. So it is told first that the end is near, and which
        stream is the last only when it has surely heard (RFC 9113, 6.8).
        """
        if self._closing:
            return
        if not self._greeted:
            self._transport.close()
            return
        self._closing = True
        near = http2.go_away(http2.MAX_WINDOW, ErrorCode.NO_ERROR)
        self._transport.write(near + http2.frame(http2.PING, 0, 0, _LAST_PING))
        self._loop.call_later(_LINGER_S, self._set_last)

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller came."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        shared = self._shared
        if shared.draining or len(shared.connections) >= self._limits.connections:
            transport.abort()
            return
        shared.connections.add(self)
        transport.set_write_buffer_limits(high=_WRITE_BYTES)
        _keep_alive(transport)
        values = {
            Setting.MAX_CONCURRENT_STREAMS: self._limits.streams,
            Setting.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: self._limits.header_bytes,
        }
        wider = http2.window_update(0, _CONNECTION_WINDOW - http2.DEFAULT_WINDOW)
        transport.write(http2.settings(values) + wider)
        self._watch()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop reads to."""
        return self._shared.buffer

    def buffer_updated(self, size: int) -> None:
        """So many bytes were read."""
        if self._last_taken_id < 0:  # refused, and on its way out
            return
        self._heard_s = time.monotonic()
        try:
            for one in self._reader.feed(self._greet(bytes(self._shared.buffer[:size]))):
                self._take(one)
        except Http2Error as error:
            self._refuse(error)
            return
        if self._unacknowledged >= _CONNECTION_WINDOW // 2:
            self._controls.append(http2.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        self._send_controls()
        self._watch()

    def eof_received(self) -> None:
        """The caller sends no more; the transport closes itself."""

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
        self._drop_all()
        self._shared.connections.discard(self)
        self._shared.closed.set()

    def pause_writing(self) -> None:
        """The caller does not read: bodies wait."""
        self._stuck = True
        self._watch()

    def resume_writing(self) -> None:
        """The caller reads again."""
        self._stuck = False
        self._flush()

    # frames that come

    def _greet(self, data: bytes) -> bytes:
        """Takes the preface off; returns what comes after it."""
        left = self._preface
        if left:
            if data[: len(left)] != left[: len(data)]:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "this port speaks gRPC, over HTTP/2")
            self._preface, data = left[len(data) :], data[len(left) :]
        return data

    def _take(self, one: Frame) -> None:
        kind = one.kind
        if not self._greeted and kind != http2.SETTINGS:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None and kind != http2.CONTINUATION:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "headers that are cut off")
        take = _TAKE.get(kind)
        if take is not None:  # a kind that nobody knows is skipped
            take(self, one)

    def _take_data(self, one: Frame) -> None:
        size = len(one.payload)
        self._unacknowledged += size
        if self._unacknowledged > _CONNECTION_WINDOW:
            raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "more than the connection's window")
        data = http2.unpadded(one)
        stream = self._stream(one)
        if stream is None or stream.exchange is None:
            return
        if stream.ended:
            self._reset(one.stream_id, ErrorCode.STREAM_CLOSED)
            return
        stream.heard_s = self._heard_s
        stream.unacknowledged += size
        if stream.unacknowledged > _STREAM_WINDOW:
            raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "more than the stream's window")
        stream.exchange.receive(data)
        if one.flags & Flag.END_STREAM:
            self._end(one.stream_id, stream)
        elif stream.unacknowledged >= _STREAM_WINDOW // 2 and one.stream_id in self._streams:
            self._controls.append(http2.window_update(one.stream_id, stream.unacknowledged))
            stream.unacknowledged = 0

    def _take_headers(self, one: Frame) -> None:
        block = http2.unpadded(one)
        if one.flags & Flag.END_HEADERS:
            self._take_block(one, block)
        else:
            self._block = one, bytearray(block)

    def _take_continuation(self, one: Frame) -> None:
        if self._block is None or self._block[0].stream_id != one.stream_id:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        first, block = self._block
        block += one.payload
        if len(block) > self._limits.header_bytes:
            raise Http2Error(
                ErrorCode.ENHANCE_YOUR_CALM, f"headers of over {self._limits.header_bytes} bytes"
            )
        if one.flags & Flag.END_HEADERS:
            self._block = None
            self._take_block(first, bytes(block))

    def _take_block(self, first: Frame, block: bytes) -> None:
        """All headers of a stream, or its trailers."""
        if self._decoder is None:
            self._decoder = Decoder(max_header_list_size=self._limits.header_bytes)
        try:
            headers: list[tuple[bytes, bytes]] = list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM, str(error)) from error
        except HPACKError as error:
            raise Http2Error(ErrorCode.COMPRESSION_ERROR, str(error)) from error
        stream_id, ends = first.stream_id, bool(first.flags & Flag.END_STREAM)
        if stream_id % 2 == 0:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, f"a caller opens stream {stream_id}")
        if (stream := self._streams.get(stream_id)) is not None:
            if not ends or stream.ended:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "headers within a stream")
            self._end(stream_id, stream)
        elif stream_id > self._last_id:
            self._last_id = stream_id
            self._begin(stream_id, headers, ends=ends)

    def _take_reset(self, one: Frame) -> None:
        http2.read_u32(one.payload, "RST_STREAM")
        if self._stream(one) is not None:
            self._drop(one.stream_id)

    def _take_window_update(self, one: Frame) -> None:
        increment = http2.read_u32(one.payload, "WINDOW_UPDATE")
        if one.stream_id:
            self._stream(one)
        if increment == 0:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        if not self._outbox.widen(one.stream_id, increment):
            self._reset(one.stream_id, ErrorCode.FLOW_CONTROL_ERROR)
        if self._outbox.is_waiting:
            self._flush()

    def _take_settings(self, one: Frame) -> None:
        _check_connection(one, "SETTINGS")
        if one.flags & Flag.ACK:
            if one.payload:
                raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS ACK that says something")
            return
        values = http2.read_settings(one.payload)
        if Setting.INITIAL_WINDOW_SIZE in values:
            self._outbox.set_initial_window(values[Setting.INITIAL_WINDOW_SIZE])
        if Setting.MAX_FRAME_SIZE in values:
            self._outbox.set_max_frame(values[Setting.MAX_FRAME_SIZE])
        self._greeted = True
        self._controls.append(http2.frame(http2.SETTINGS, Flag.ACK, 0))
        self._flush()

    def _take_ping(self, one: Frame) -> None:
        _check_connection(one, "PING")
        if len(one.payload) != 8:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(one.payload)} bytes")
        if not one.flags & Flag.ACK:
            self._controls.append(http2.frame(http2.PING, Flag.ACK, 0, one.payload))
        elif self._closing and one.payload == _LAST_PING:
            self._set_last()

    def _take_go_away(self, one: Frame) -> None:
        _check_connection(one, "GOAWAY")
        self._closing = True
        self._set_last()

    def _take_priority(self, one: Frame) -> None:
        if len(one.payload) != 5:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(one.payload)} bytes")

    def _take_push_promise(self, one: Frame) -> None:
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "a caller promises nothing")

    # streams

    def _stream(self, one: Frame) -> _Stream | None:
        """That of a frame; None, it has ended here, which the peer need not have heard yet."""
        stream = self._streams.get(one.stream_id)
        if stream is None and (one.stream_id > self._last_id or one.stream_id % 2 == 0):
            raise Http2Error(
                ErrorCode.PROTOCOL_ERROR, f"a frame of stream {one.stream_id}, which is not open"
            )
        return stream

    def _begin(self, stream_id: int, headers: list[tuple[bytes, bytes]], *, ends: bool) -> None:
        if stream_id > self._last_taken_id or len(self._streams) >= self._limits.streams:
            self._controls.append(http2.reset(stream_id, ErrorCode.REFUSED_STREAM))
            return
        stream = self._streams[stream_id] = _Stream(self._heard_s)
        stream.ended = ends
        self._incomplete += not ends
        self._outbox.open(stream_id)
        exchange = stream.exchange = self._shared.begin(self, stream_id, headers)
        if ends and stream_id in self._streams:  # else it is answered already
            exchange.end()

    def _end(self, stream_id: int, stream: _Stream) -> None:
        """The peer has sent everything."""
        if stream_id in self._streams and stream.exchange is not None:
            stream.ended = True
            self._incomplete -= 1
            stream.exchange.end()

    def _reset(self, stream_id: int, code: int) -> None:
        self._controls.append(http2.reset(stream_id, code))
        self._drop(stream_id)

    def _drop(self, stream_id: int) -> None:
        """Nobody waits for the answer of a stream any more."""
        self._outbox.drop(stream_id)
        self._remove(stream_id)

    def _remove(self, stream_id: int) -> bool:
        """Forgets a stream; returns whether the peer had sent everything."""
        stream = self._streams.pop(stream_id)
        self._incomplete -= not stream.ended
        if stream.exchange is not None:
            stream.exchange.close()
        if not self._streams:
            self._idle_s = self._heard_s
            self._close_if_done()
        return stream.ended

    def _drop_all(self) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if stream.exchange is not None:
                stream.exchange.close()

    # sending

    def _flush(self) -> None:
        """Sends what the peer's windows and the transport have room for."""
        outbox = self._outbox
        while not self._stuck and outbox.is_waiting and (data := outbox.take()):
            self._transport.write(data)
        while outbox.finished:
            stream_id = outbox.finished.pop()
            if not self._remove(stream_id):  # it need not send the rest
                self._transport.write(http2.reset(stream_id, ErrorCode.NO_ERROR))
        if outbox.is_waiting:
            self._watch()

    def _send_controls(self) -> None:
        if self._controls:
            self._transport.write(b"".join(self._controls))
            self._controls.clear()
            if self._transport.get_write_buffer_size() > _MOST_CONTROL_BYTES:
                self._transport.abort()

    # the end

    def _set_last(self) -> None:
        """Says which stream is the last."""
        if self._last_taken_id == http2.MAX_WINDOW and not self._transport.is_closing():
            self._last_taken_id = self._last_id
            self._transport.write(http2.go_away(self._last_id, ErrorCode.NO_ERROR))
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._closing and not self._streams and self._last_taken_id != http2.MAX_WINDOW:
            self._transport.close()
            self._loop.call_later(_LINGER_S, self._transport.abort)

    def _refuse(self, error: Http2Error) -> None:
        _log.debug("a connection ends: %s", error)
        self._last_taken_id = -1
        self._drop_all()
        self._transport.write(http2.go_away(self._last_id, error.code, str(error)))
        self._transport.close()
        self._loop.call_later(_LINGER_S, self._transport.abort)

    # time

    def _watch(self) -> None:
        """Looks again after a while, if there is anything that must not take for ever."""
        if self._timer is None and (
            self._incomplete
            or self._stuck
            or not self._greeted
            or self._outbox.is_waiting
            or self._limits.watches_idle
        ):
            self._timer = self._loop.call_later(self._limits.look_s, self._look)

    def _look(self) -> None:
        self._timer = None
        limits, now_s = self._limits, time.monotonic()
        if not self._greeted and now_s - self._made_s > limits.handshake_timeout_s:
            self._transport.abort()
            return
        if self._incomplete:
            late_s = now_s - limits.message_timeout_s
            for stream_id, stream in list(self._streams.items()):
                if not stream.ended and stream.heard_s < late_s:
                    self._reset(stream_id, ErrorCode.CANCEL)
            self._send_controls()
        if self._is_unread(now_s) or self._is_dead(now_s):
            self._transport.abort()
            return
        if limits.is_over(now_s - self._made_s, None if self._streams else now_s - self._idle_s):
            self.drain()
            if limits.max_age_grace_s is not None:
                self._loop.call_later(limits.max_age_grace_s, self._transport.abort)
        self._watch()

    def _is_unread(self, now_s: float) -> bool:
        """Whether an answer has waited for too long without any of it being read."""
        if not self._stuck and not self._outbox.is_waiting:
            self._unsent = None
            return False
        unsent = self._transport.get_write_buffer_size(), self._outbox.waiting_bytes
        if unsent != self._unsent:
            self._unsent, self._moved_s = unsent, now_s
        return now_s - self._moved_s > self._limits.send_timeout_s

    def _is_dead(self, now_s: float) -> bool:
        """Whether the peer does not answer a ping; sends one where it is time."""
        keepalive_s = self._limits.keepalive_s
        if keepalive_s is None or now_s - self._heard_s < keepalive_s:
            return False
        if now_s - self._heard_s > keepalive_s + self._limits.keepalive_timeout_s:
            return True
        self._transport.write(http2.frame(http2.PING, 0, 0, bytes(8)))
        return False


_TAKE = {
    http2.DATA: Http2Connection._take_data,
    http2.HEADERS: Http2Connection._take_headers,
    http2.PRIORITY: Http2Connection._take_priority,
    http2.RST_STREAM: Http2Connection._take_reset,
    http2.SETTINGS: Http2Connection._take_settings,
    http2.PUSH_PROMISE: Http2Connection._take_push_promise,
    http2.PING: Http2Connection._take_ping,
    http2.GOAWAY: Http2Connection._take_go_away,
    http2.WINDOW_UPDATE: Http2Connection._take_window_update,
    http2.CONTINUATION: Http2Connection._take_continuation,
}


def _check_connection(one: Frame, kind: str) -> None:
    if one.stream_id:
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, f"{kind} of a stream")


def _keep_alive(transport: asyncio.Transport) -> None:
    """A caller whose machine is gone says nothing; the system finds out."""
    plain = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
