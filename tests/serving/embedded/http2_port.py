"""A gRPC port with three small methods, on a loop of its own, and a caller that is not gRPC's.

Echo answers with its message, Wait when it is told to or never, Fail with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from dualtower_clients.proto import tensor_pb2
from dualtower_serving.embedded.grpc_call import GrpcCalls, Method
from dualtower_serving.embedded.http2_connection import Http2Connection, Shared
from dualtower_serving.embedded.http2_limits import Http2Limits
from dualtower_serving.embedded.status import Code, StatusError

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/t/Echo"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def with_path(path: str, **more: str) -> list[tuple[str, str]]:
    further = [(name.replace("_", "-"), value) for name, value in more.items()]
    return [(name, path if name == ":path" else value) for name, value in HEADERS] + further


def message(content: bytes) -> bytes:
    raw = tensor_pb2.TensorProto(tensor_content=content).SerializeToString()
    return b"\0" + len(raw).to_bytes(4, "big") + raw


class Port:
    """What the tests talk to and look into."""

    def __init__(self, limits: Http2Limits, max_calls: int, max_bytes: int, held: int) -> None:
        methods = {
            "/t/Echo": Method(tensor_pb2.TensorProto, self._echo),
            "/t/Wait": Method(tensor_pb2.TensorProto, self._wait),
            "/t/Fail": Method(tensor_pb2.TensorProto, self._fail),
        }
        self.calls = GrpcCalls(methods, max_calls, max_bytes, held)
        self.shared = Shared(self.calls.begin, limits)
        self.cancelled = 0
        self.loop = asyncio.new_event_loop()
        self.trouble: list[object] = []
        self.loop.set_exception_handler(lambda loop, context: self.trouble.append(context))
        self._go = asyncio.Event()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._server = self.do(self.loop.create_server(self.connection, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def connection(self) -> Http2Connection:
        return Http2Connection(self.shared)

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def on_loop(self, function, *arguments):
        async def call():
            return function(*arguments)

        return self.do(call())

    def release(self) -> None:
        self.on_loop(self._go.set)

    def until(self, condition) -> None:
        deadline = time.monotonic() + 20
        while not self.on_loop(condition):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.01)

    def close(self) -> None:
        def end() -> None:
            self._server.close()
            for connection in list(self.shared.connections):
                connection.close()
            for task in self.calls.running:
                task.cancel()

        self.on_loop(end)
        self.until(lambda: not self.shared.connections and not self.calls.running)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        assert self.trouble == []
        assert self.calls.held_bytes == 0

    async def _echo(self, request, call):
        return request

    async def _wait(self, request, call):
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return request

    async def _fail(self, request, call):
        raise StatusError(Code.NOT_FOUND, "ä 50% \n" + request.tensor_content.decode())


@contextlib.contextmanager
def opened_port(
    limits: Http2Limits | None = None,
    max_calls: int = 100,
    max_bytes: int = 1 << 24,
    held: int = 1 << 26,
) -> Iterator[Port]:
    port = Port(limits or Http2Limits(), max_calls, max_bytes, held)
    try:
        yield port
    finally:
        port.close()


class Peer:
    """Speaks HTTP/2 by hyper's h2, which refuses frames that the RFC forbids."""

    def __init__(
        self, port: Port, settings: dict[int, int] | None = None, *, widens: bool = True
    ) -> None:
        self._widens = widens  # a window, by what has come
        self.socket = socket.create_connection(("127.0.0.1", port.port), timeout=20)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.events: list[h2.events.Event] = []
        self.flush()
        self.read()  # the port's settings, and its window

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def ask(self, headers, body: bytes | None) -> int:
        """Opens a stream and sends a body that fits the windows; None: headers alone, and open."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, headers)
        if body is not None:
            for begin in range(0, len(body), 16_384):
                self.h2.send_data(stream_id, body[begin : begin + 16_384])
            self.h2.end_stream(stream_id)
        self.flush()
        return stream_id

    def read(self) -> bool:
        """Takes what has come; False at the end of the connection."""
        try:
            data = self.socket.recv(65_536)
        except ConnectionError:
            return False
        if not data:
            return False
        new = self.h2.receive_data(data)
        for event in new:
            if self._widens and isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.events += new
        self.flush()
        return True

    def until(self, kind: type, stream_id: int | None = None):
        """Reads on until such an event has come."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and stream_id in (
                    None,
                    getattr(event, "stream_id", None),
                ):
                    return event
            assert self.read(), f"the connection ended before {kind.__name__}: {self.events}"

    def answer(self, stream_id: int) -> tuple[dict[str, str], bytes]:
        """Headers and trailers, and the message without its prefix."""
        self.until(h2.events.StreamEnded, stream_id)
        headers: dict[str, str] = {}
        body = b""
        for event in self.events:
            if getattr(event, "stream_id", None) != stream_id:
                continue
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                headers |= dict(event.headers)
            if isinstance(event, h2.events.DataReceived):
                body += event.data
        if not body:
            return headers, b""
        assert int.from_bytes(body[1:5], "big") == len(body) - 5
        return headers, tensor_pb2.TensorProto.FromString(body[5:]).tensor_content
