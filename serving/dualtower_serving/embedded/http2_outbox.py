"""Answers on their way out of one HTTP/2 connection, as fast as the peer's windows allow. Pure.

An answer is a head, a body and a tail. The head goes at once; the body in frames for which both the
stream's and the connection's window have room (RFC 9113, 5.2), the streams in turns; the tail after
it. Nothing but bodies waits.
"""

from __future__ import annotations

from collections import deque

from dualtower_serving.embedded.http2_frames import (
    DATA,
    DEFAULT_WINDOW,
    HEADERS,
    MAX_WINDOW,
    MIN_MAX_FRAME,
    ErrorCode,
    Flag,
    Http2Error,
    frame,
)

__all__ = ["Outbox"]

_MOST_FRAME = 1 << 18  # a larger frame would keep other streams waiting for nothing
_END = Flag.END_HEADERS | Flag.END_STREAM


class _Stream:
    __slots__ = ("body", "tail", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.body = memoryview(b"")
        self.tail = b""


class Outbox:
    """Windows, and what waits for them.

    Attributes:
        finished: streams whose answer has left since this was last emptied, by whoever reads it.
    """

    def __init__(self) -> None:
        self.finished: list[int] = []
        self._window = DEFAULT_WINDOW
        self._initial = DEFAULT_WINDOW
        self._max_frame = MIN_MAX_FRAME
        self._streams: dict[int, _Stream] = {}
        self._waiting: deque[int] = deque()

    def open(self, stream_id: int) -> None:
        """A stream has begun."""
        self._streams[stream_id] = _Stream(self._initial)

    def drop(self, stream_id: int) -> None:
        """A stream has ended, with whatever still waits."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None and stream.tail:
            self._waiting.remove(stream_id)

    def answer(self, stream_id: int, head: bytes, body: bytes, tail: bytes) -> bytes:
        """Takes an answer; returns what goes at once. `take` has the rest.

        Args:
            stream_id: an open stream that has no answer yet.
            head: a block of headers.
            body: may be empty.
            tail: a block of trailers.
        """
        stream = self._streams[stream_id]
        size = len(body)
        begin = frame(HEADERS, Flag.END_HEADERS, stream_id, head)
        if size <= stream.window and size <= self._window and size <= self._max_frame:
            self._window -= size
            self._finish(stream_id)
            data = frame(DATA, 0, stream_id, body) if size else b""
            return begin + data + frame(HEADERS, _END, stream_id, tail)
        stream.body, stream.tail = memoryview(body), tail
        self._waiting.append(stream_id)
        return begin

    def answer_short(self, stream_id: int, tail: bytes) -> bytes:
        """An answer of trailers alone."""
        self._finish(stream_id)
        return frame(HEADERS, _END, stream_id, tail)

    def take(self) -> bytes:
        """The next frame of a body for which there is room, with the tail if it is the last."""
        if self._window <= 0:
            return b""
        for _ in range(len(self._waiting)):
            stream_id = self._waiting[0]
            self._waiting.rotate(-1)
            stream = self._streams[stream_id]
            size = min(len(stream.body), stream.window, self._window, self._max_frame)
            if size <= 0:
                continue
            data = frame(DATA, 0, stream_id, bytes(stream.body[:size]))
            stream.body = stream.body[size:]
            stream.window -= size
            self._window -= size
            if stream.body:
                return data
            self._waiting.remove(stream_id)
            tail = stream.tail
            self._finish(stream_id)
            return data + frame(HEADERS, _END, stream_id, tail)
        return b""

    @property
    def is_waiting(self) -> bool:
        """Whether a body waits for a window, or for being taken."""
        return bool(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of bodies that wait."""
        return sum(len(self._streams[stream_id].body) for stream_id in self._waiting)

    def widen(self, stream_id: int, increment: int) -> bool:
        """A WINDOW_UPDATE came; returns False where it overflows the window of a stream.

        Raises:
            Http2Error: it overflows that of the connection.
        """
        if stream_id == 0:
            self._window += increment
            if self._window > MAX_WINDOW:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31 - 1")
        elif (stream := self._streams.get(stream_id)) is not None:
            stream.window += increment
            return stream.window <= MAX_WINDOW
        return True

    def set_initial_window(self, size: int) -> None:
        """The peer's setting changed, and with it the window of each open stream.

        Raises:
            Http2Error: one overflows.
        """
        change = size - self._initial
        self._initial = size
        for stream in self._streams.values():
            stream.window += change
            if stream.window > MAX_WINDOW:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31 - 1")

    def set_max_frame(self, size: int) -> None:
        """The largest frame that the peer takes."""
        self._max_frame = min(size, _MOST_FRAME)

    def _finish(self, stream_id: int) -> None:
        del self._streams[stream_id]
        self.finished.append(stream_id)
