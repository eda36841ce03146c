"""A real gRPC server on loopback: one worker, a service time, and a stall on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest


class EchoServer:
    """Answers with the request's own bytes after `service_s`; request `stall_at` takes longer."""

    METHOD = "/test.Echo/Call"

    def __init__(self, *, service_s: float = 0.0, stall_at: int = -1, stall_s: float = 0.0) -> None:
        self._service_s, self._stall_at, self._stall_s = service_s, stall_at, stall_s
        self._lock, self.received = threading.Lock(), 0
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
        handler = grpc.unary_unary_rpc_method_handler(self._answer)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Echo", {"Call": handler}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=None).wait()

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            number, self.received = self.received, self.received + 1
        if request == b"refuse":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "asked to refuse")
        time.sleep(self._stall_s if number == self._stall_at else self._service_s)
        return request


@pytest.fixture
def echo_server() -> Iterator[type[EchoServer]]:
    """The class, so that a test sets its times; what it starts is stopped."""
    started: list[EchoServer] = []

    class Tracked(EchoServer):
        def __init__(self, **times: float) -> None:
            super().__init__(**times)  # type: ignore[arg-type]
            started.append(self)

    yield Tracked
    for server in started:
        server.stop()
