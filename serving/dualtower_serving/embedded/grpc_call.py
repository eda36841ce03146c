"""One unary call of gRPC on a stream of HTTP/2, from its headers to its status.

begin ─► message comes ─► task: parse, answer, serialise ─► answered
          (any time)  deadline, caller gone, refused  ─► over, the task is cancelled
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from dualtower_serving.embedded import grpc_wire
from dualtower_serving.embedded.execution import Call, off_loop
from dualtower_serving.embedded.grpc_wire import Incoming, Request, UnfitRequest
from dualtower_serving.embedded.http2_connection import Http2Connection
from dualtower_serving.embedded.status import Code, StatusError, truncate

__all__ = ["GrpcCall", "GrpcCalls", "Method"]

_LARGE_PACKED_BYTES = 4 * 1024  # may be a thousand times as much when unpacked

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Method(Generic[M]):
    """What a method takes, and who answers it."""

    kind: type[M]
    answer: Callable[[M, Call], Awaitable[Message]]


@dataclass
class GrpcCalls:
    """What the calls of a front share.

    Attributes:
        methods: by path.
        max_calls: answered at a time; further ones are refused.
        max_message_bytes: of a request, as sent and as unpacked.
        max_held_bytes: of all messages that come, are worked on, or wait to be read.
        running: calls that are worked on.
        held_bytes: of those messages.
    """

    methods: Mapping[str, Method[Any]]
    max_calls: int
    max_message_bytes: int
    max_held_bytes: int
    running: set[asyncio.Task[None]] = field(default_factory=set)
    held_bytes: int = 0

    def begin(
        self, connection: Http2Connection, stream_id: int, headers: list[tuple[bytes, bytes]]
    ) -> GrpcCall:
        """Makes the call of a stream."""
        return GrpcCall(self, connection, stream_id, headers)

    def check_room(self, own_bytes: int) -> None:
        """Refuses what a call holds, if all of them together hold too much; one alone may.

        Raises:
            StatusError: RESOURCE_EXHAUSTED.
        """
        if self.held_bytes > self.max_held_bytes and self.held_bytes > own_bytes:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED,
                f"the messages of all calls would exceed {self.max_held_bytes} bytes; "
                "try again, or raise --max_in_flight_bytes",
            )


class GrpcCall:
    """See above. An `Exchange` of its connection."""

    __slots__ = ("_calls", "_connection", "_deadline_ns", "_held_bytes", "_incoming", "_message",
                 "_method", "_over", "_request", "_stream_id", "_task", "_timer")  # fmt: skip

    def __init__(
        self,
        calls: GrpcCalls,
        connection: Http2Connection,
        stream_id: int,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        self._calls = calls
        self._connection = connection
        self._stream_id = stream_id
        self._incoming = Incoming(calls.max_message_bytes)
        self._message = b""
        self._held_bytes = 0
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_ns: int | None = None
        self._request = Request("")
        self._method: Method[Any] | None = None
        try:
            self._open(headers)
        except UnfitRequest as error:
            self._over = True
            connection.answer_short(stream_id, grpc_wire.http_error_block(error.status))
        except StatusError as error:
            self._fail(error.code, error.message)

    def receive(self, data: bytes) -> None:
        """See `Exchange`."""
        if self._over:
            return
        self._hold(len(data))
        try:
            self._calls.check_room(self._held_bytes)
            self._incoming.add(data)
        except StatusError as error:
            self._fail(error.code, error.message)

    def end(self) -> None:
        """See `Exchange`."""
        if self._over or self._method is None:
            return
        if self._deadline_ns is not None and time.monotonic_ns() >= self._deadline_ns:
            self._expire()
            return
        calls = self._calls
        if len(calls.running) >= calls.max_calls:
            self._fail(
                Code.RESOURCE_EXHAUSTED,
                f"{calls.max_calls} calls are being answered, as many as --max_open_calls allows",
            )
            return
        try:
            self._message = self._incoming.end()
        except StatusError as error:
            self._fail(error.code, error.message)
            return
        packed = self._incoming.packed
        self._incoming = Incoming(0)  # its buffer is free
        task = self._task = asyncio.get_running_loop().create_task(
            self._run(self._method, packed=packed)
        )
        calls.running.add(task)
        task.add_done_callback(self._done)

    def close(self) -> None:
        """See `Exchange`."""
        self._stop()
        self._let_go()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _open(self, headers: list[tuple[bytes, bytes]]) -> None:
        request = self._request = grpc_wire.read_headers(headers)
        self._method = self._calls.methods.get(request.path)
        if self._method is None:
            raise StatusError(Code.UNIMPLEMENTED, f"there is no method {request.path}")
        if request.timeout_ns is not None:
            self._deadline_ns = time.monotonic_ns() + request.timeout_ns
            self._timer = asyncio.get_running_loop().call_later(
                request.timeout_ns / 1e9, self._expire
            )

    async def _run(self, method: Method[Any], *, packed: bool) -> None:
        size_bytes = len(self._message)
        answer = b""
        failure: tuple[int, str] | None = None
        try:
            answer = grpc_wire.message(await self._answer(method, packed=packed))
            self._let_go()
            self._hold(len(answer))
            self._calls.check_room(self._held_bytes)
        except StatusError as error:
            failure = error.code, error.message
        except DecodeError:
            words = f"the request's {size_bytes} bytes are no {method.kind.__name__}"
            failure = Code.INTERNAL, words
        except Exception as error:  # a bug or a machine out of memory must not end the server
            _log.exception("unexpected, answered as INTERNAL")
            failure = Code.INTERNAL, f"{type(error).__name__}: {error}"
        self._task = None  # from here on there is nothing to cancel
        if failure is not None:
            self._fail(*failure)
        elif not self._over:
            self._stop()
            self._connection.answer(
                self._stream_id, grpc_wire.ANSWER_HEAD, answer, grpc_wire.ANSWER_TAIL
            )

    async def _answer(self, method: Method[Any], *, packed: bool) -> bytes:
        raw, self._message = self._message, b""
        if packed:
            raw = await self._unpacked(raw)
        request = await off_loop(len(raw), method.kind.FromString, raw)
        call = Call(self._deadline_ns, size_bytes=len(raw))
        del raw  # the request has it all
        response = await method.answer(request, call)
        answer: bytes = await off_loop(response.ByteSize(), response.SerializeToString)
        return answer

    async def _unpacked(self, raw: bytes) -> bytes:
        """The message that was packed; counted as it is now."""
        work = (raw, self._request.encoding, self._calls.max_message_bytes)
        if len(raw) > _LARGE_PACKED_BYTES:
            found = await asyncio.get_running_loop().run_in_executor(None, grpc_wire.unpack, *work)
        else:
            found = grpc_wire.unpack(*work)
        self._hold(len(found))
        return found

    def _expire(self) -> None:
        """The caller waits no longer."""
        self._fail(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def _fail(self, code: int, text: str) -> None:
        if not self._over:
            self._stop()
            block = grpc_wire.error_block(code, truncate(text))
            self._connection.answer_short(self._stream_id, block)

    def _stop(self) -> None:
        """Nothing more is taken."""
        self._over = True
        self._incoming = Incoming(0)
        if self._timer is not None:
            self._timer.cancel()

    def _hold(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        self._calls.held_bytes += size_bytes

    def _let_go(self) -> None:
        self._hold(-self._held_bytes)

    def _done(self, task: asyncio.Task[None]) -> None:
        """The task has ended; one that was cancelled may have run on for a while."""
        self._calls.running.discard(task)
