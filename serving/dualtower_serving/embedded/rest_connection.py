"""One connection of the REST port: HTTP/1.1 by h11, one request after the other.

    idle ─► head ─► body ─► answering ─► idle …          any ─► refusing ─► closed

Each state but `answering` has a time limit, so that a caller that sends a byte a minute, or reads
none, costs a socket for a while and nothing else. A connection that is idle holds no parser. A
caller that closes its side while its request is computed gets nothing, and the computation is
cancelled.
"""

from __future__ import annotations

import asyncio
import email.utils
import enum
import http
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import h11

from dualtower_serving.embedded import rest_outputs
from dualtower_serving.embedded.rest_api import RestAnswer, RestApi, RestRequest
from dualtower_serving.embedded.rest_settings import RestLimits

__all__ = ["RestConnection", "Shared"]

_LINGER_S = 2.0  # a refused caller may still be sending; closing at once would lose the answer
_FORGET_S = 5.0  # idle for so long, a connection gives its parser back

_log = logging.getLogger(__name__)


class _State(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWERING = enum.auto()
    REFUSING = enum.auto()
    CLOSED = enum.auto()


@dataclass
class Shared:
    """What the connections of a front share."""

    api: RestApi
    limits: RestLimits
    max_connections: int
    connections: set[RestConnection] = field(default_factory=set)
    body_bytes: int = 0
    draining: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # a connection has gone


class RestConnection(asyncio.Protocol):
    """Made by the event loop for each caller."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._loop = asyncio.get_running_loop()
        self._state = _State.IDLE
        self._transport: asyncio.Transport
        self._http: h11.Connection | None = None
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._waiting_bytes = 0  # of a next request, come while this one is answered
        self._timer: asyncio.TimerHandle | None = None
        self._body_began_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._stuck = False
        self._unsent_bytes = 0

    def close(self) -> None:
        """Ends the connection now, with whatever it does."""
        self._transport.abort()

    def close_if_idle(self) -> None:
        """Ends the connection unless a request is on its way, which is still answered."""
        if self._state is _State.IDLE:
            self._transport.close()

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller came."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        full = len(self._shared.connections) >= self._shared.max_connections
        self._shared.connections.add(self)
        if full:
            self._refuse(503, "too many connections")
        else:
            self._arm(self._limits.idle_timeout_s, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self._state in (_State.REFUSING, _State.CLOSED):
            return
        if self._http is None:
            self._http = h11.Connection(
                h11.SERVER, max_incomplete_event_size=self._limits.header_bytes
            )
        try:
            self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, f"no HTTP/1.1 request: {error}")
            return
        if self._state is _State.ANSWERING or self._stuck:
            self._waiting_bytes += len(data)
            self._read_or_not()
        else:
            self._advance()

    def eof_received(self) -> None:
        """The caller sends no more: it hung up. The transport closes itself."""
        self._cancel()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._state = _State.CLOSED
        self._cancel()
        self._disarm()
        self._release()
        self._http = None
        self._shared.connections.discard(self)
        self._shared.closed.set()

    def pause_writing(self) -> None:
        """The caller does not read: nothing more is computed for it."""
        self._stuck = True
        self._read_or_not()

    def resume_writing(self) -> None:
        """The caller reads again."""
        self._stuck = False
        self._read_or_not()
        if self._state is _State.IDLE:
            self._next()

    # reading

    def _advance(self) -> None:
        """Takes what has come so far."""
        connection = self._http
        if connection is None or self._state in (_State.REFUSING, _State.CLOSED):
            return
        try:
            while self._state in (_State.IDLE, _State.HEAD, _State.BODY):
                event = connection.next_event()
                if isinstance(event, h11.Request):
                    self._begin(connection, event)
                elif isinstance(event, h11.Data):
                    self._take(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._end()
                else:  # the rest is still to come
                    if self._state is _State.IDLE and connection.trailing_data[0]:
                        self._state = _State.HEAD
                        self._arm(self._limits.header_timeout_s, self._too_slow)
                    return
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, f"no HTTP/1.1 request: {error}")

    def _read_or_not(self) -> None:
        """Reads on while a request is answered, to notice a hang-up, but not without bound."""
        if self._stuck or self._waiting_bytes > self._limits.header_bytes:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _begin(self, connection: h11.Connection, head: h11.Request) -> None:
        self._head = head
        self._state = _State.BODY
        if not head.http_version.startswith(b"1."):
            self._refuse(505, f"HTTP/{head.http_version.decode()} is not spoken here, HTTP/1.1 is")
            return
        length = next((int(value) for name, value in head.headers if name == b"content-length"), 0)
        if length > self._limits.body_bytes:
            self._refuse_size(length)
            return
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._transport.write(connection.send(go_on) or b"")
        self._body_began_s = time.monotonic()
        self._arm(self._limits.body_timeout_s, self._check_pace)

    def _take(self, data: bytes | bytearray) -> None:
        self._body += data
        self._shared.body_bytes += len(data)
        if len(self._body) > self._limits.body_bytes:
            self._refuse_size(len(self._body))
        elif self._shared.body_bytes > self._limits.total_body_bytes:
            self._refuse(503, "too many large requests at a time; try again")

    def _end(self) -> None:
        head = self._head
        assert head is not None
        self._disarm()
        self._state = _State.ANSWERING
        request = RestRequest(
            head.method.decode("ascii"),
            head.target.decode("latin-1"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
            self._body,
        )
        self._task = self._loop.create_task(self._answer(request))

    def _check_pace(self) -> None:
        """Gives a body the more time the more of it has come."""
        granted_s = self._limits.body_timeout_s + len(self._body) / self._limits.body_bytes_per_s
        left_s = self._body_began_s + granted_s - time.monotonic()
        if left_s <= 0:
            self._too_slow()
        else:
            self._arm(left_s, self._check_pace)

    def _too_slow(self) -> None:
        self._refuse(408, "the request did not come in time")

    # answering

    async def _answer(self, request: RestRequest) -> None:
        answer = await self._shared.api.answer(request)
        self._task = None
        self._release()
        if self._state is _State.ANSWERING:
            try:
                self._send(answer)
            except h11.LocalProtocolError:
                _log.exception("an answer could not be sent")
                self._transport.abort()

    def _send(self, answer: RestAnswer) -> None:
        connection, head = self._http, self._head
        assert connection is not None
        assert head is not None
        response = h11.Response(
            status_code=answer.status,
            headers=[
                *(("connection", "close") for _ in range(self._shared.draining)),
                *_headers(answer),
            ],
            reason=_reason(answer.status),
        )
        parts = [connection.send(response) or b""]
        if head.method != b"HEAD":
            parts.append(connection.send(h11.Data(data=answer.body)) or b"")
        parts.append(connection.send(h11.EndOfMessage()) or b"")
        self._transport.writelines(parts)
        self._head = None
        if connection.our_state is not h11.DONE:
            self._state = _State.REFUSING
            self._linger()
            return
        connection.start_next_cycle()
        self._state = _State.IDLE
        self._waiting_bytes = 0
        if self._stuck:
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self._arm(self._limits.send_timeout_s, self._check_sent)
        else:
            self._read_or_not()
            self._next()

    def _next(self) -> None:
        """Waits for the next request, or takes the one that has already come."""
        self._arm(min(_FORGET_S, self._limits.idle_timeout_s), self._forget)
        self._loop.call_soon(self._advance)

    def _forget(self) -> None:
        self._http = None
        self._arm(self._limits.idle_timeout_s - _FORGET_S, self._transport.abort)

    def _check_sent(self) -> None:
        """Waits for as long as the caller takes something of its answer."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes >= self._unsent_bytes:
            self._transport.abort()
        else:
            self._unsent_bytes = unsent_bytes
            self._arm(self._limits.send_timeout_s, self._check_sent)

    # refusing

    def _refuse_size(self, size_bytes: int) -> None:
        limit = self._limits.body_bytes
        self._refuse(413, f"the body has {size_bytes} bytes or more, at most {limit} are read")

    def _refuse(self, status: int, message: str) -> None:
        """Answers what is no request, and closes."""
        if self._state in (_State.REFUSING, _State.CLOSED):
            return
        self._state = _State.REFUSING
        self._cancel()
        self._release()
        self._http = None
        answer = RestAnswer(status, rest_outputs.error(message))
        lines = [f"HTTP/1.1 {status} {_reason(status).decode()}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in _headers(answer)]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        self._linger()

    def _linger(self) -> None:
        """Closes after the caller has read the answer, or soon."""
        try:
            self._transport.write_eof()
        except OSError:  # the caller has gone, which the loop will learn next
            self._transport.abort()
        self._arm(_LINGER_S + self._limits.send_timeout_s * self._stuck, self._transport.abort)

    # what it holds

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _release(self) -> None:
        self._shared.body_bytes -= len(self._body)
        self._body = bytearray()

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self._loop.call_later(max(0.0, seconds), then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _headers(answer: RestAnswer) -> list[tuple[str, str]]:
    return [
        ("content-type", answer.content_type),
        ("content-length", str(len(answer.body))),
        ("date", email.utils.formatdate(usegmt=True)),
        *answer.headers.items(),
    ]


def _reason(status: int) -> bytes:
    try:
        return http.HTTPStatus(status).phrase.encode()
    except ValueError:  # 499, which nginx made up
        return b"Client Closed Request"
