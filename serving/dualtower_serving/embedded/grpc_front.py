"""The gRPC port of a ModelService: its methods, where it listens, how it ends.

    Http2Connection ─► GrpcCall ─► parse ─► service ─► (TensorFlow, in its threads) ─► serialise

One loop holds all calls; nobody waits in a thread. So many calls may be answered at a time, and
beyond that one is refused with RESOURCE_EXHAUSTED. A call whose message has not come yet is not
counted: who opens calls and sends nothing keeps nobody out. A call whose caller has gone, or whose
deadline has passed, is cancelled where it is; if its graph has not begun to run, it never will.

gRPC's own server for Python passes each call between its threads and the loop four times, at 0.2 to
0.3 ms of a core; HTTP/2 on the loop itself takes a fourth of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from google.protobuf.message import Message

from dualtower_clients.proto import (
    examples_pb2,
    inference_pb2,
    management_pb2,
    server_config_pb2,
)
from dualtower_serving.embedded.execution import Call
from dualtower_serving.embedded.grpc_call import GrpcCalls, Method
from dualtower_serving.embedded.grpc_settings import GrpcSettings
from dualtower_serving.embedded.http2_connection import Http2Connection, Shared
from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.embedded.service import ModelService
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["GrpcFront"]

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
_HEALTH = "/grpc.health.v1.Health/"
_HEALTHY = ("", "ModelService", "PredictionService")  # the stock server's names, short as they are
_RELOADS = 8  # calls of HandleReloadConfigRequest that wait at a time
_BACKLOG = 1024

M = TypeVar("M", bound=Message)


class GrpcFront:
    """Listens and answers. Made and used on the event loop.

    Args:
        service: answers the requests.
        settings: what callers may cost, and whether the health service is there.
        metrics: what is counted, and where.
    """

    def __init__(self, service: ModelService, settings: GrpcSettings, metrics: Metrics) -> None:
        self._reloads = ThreadPoolExecutor(_RELOADS, thread_name_prefix="reload")
        self._calls = GrpcCalls(
            self._methods(service, health=settings.health),
            max_calls=settings.max_calls,
            max_message_bytes=settings.max_message_bytes,
            max_held_bytes=settings.max_held_bytes,
        )
        self._shared = Shared(self._calls.begin, settings.http2)
        self._servers: list[asyncio.AbstractServer] = []
        self._handshake_timeout_s = settings.http2.handshake_timeout_s
        metrics.watch(
            "grpc_connections",
            "Open connections of the gRPC port.",
            (),
            lambda: {(): len(self._shared.connections)},
        )
        metrics.watch(
            "grpc_message_bytes",
            "Messages of gRPC requests that are read or worked on.",
            (),
            lambda: {(): self._calls.held_bytes},
        )

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Opens a port (0: a free one) and answers there; returns its number.

        Raises:
            StatusError: UNAVAILABLE, the port is taken or cannot be bound.
        """
        with _named_errors(f"{host}:{port}"):
            server = await asyncio.get_running_loop().create_server(
                self._connection,
                host,
                port,
                backlog=_BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=self._handshake_timeout_s if tls else None,
            )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def listen_unix(self, path: str, tls: ssl.SSLContext | None = None) -> None:
        """Opens a socket in the file system and answers there.

        Raises:
            StatusError: UNAVAILABLE, it is taken or cannot be made.
        """
        with _named_errors(f"unix:{path}"):
            server = await asyncio.get_running_loop().create_unix_server(
                self._connection,
                path,
                backlog=_BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=self._handshake_timeout_s if tls else None,
            )
        self._servers.append(server)

    async def stop(self, *, drain_s: float) -> None:
        """Refuses new calls, waits for running ones, and cuts them after `drain_s`."""
        shared = self._shared
        for server in self._servers:
            server.close()
        shared.draining = True
        for connection in list(shared.connections):
            connection.drain()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._all_gone(), drain_s)
        for connection in list(shared.connections):
            connection.close()
        self._reloads.shutdown(wait=False, cancel_futures=True)

    async def _all_gone(self) -> None:
        while self._shared.connections:
            self._shared.closed.clear()
            await self._shared.closed.wait()

    def _connection(self) -> Http2Connection:
        return Http2Connection(self._shared)

    def _methods(self, service: ModelService, *, health: bool) -> Mapping[str, Method[Any]]:
        methods: dict[str, Method[Any]] = {
            _PREDICTION + "Predict": Method(inference_pb2.PredictRequest, service.predict),
            _PREDICTION + "Classify": Method(examples_pb2.ClassificationRequest, service.classify),
            _PREDICTION + "Regress": Method(examples_pb2.RegressionRequest, service.regress),
            _PREDICTION + "MultiInference": Method(
                examples_pb2.MultiInferenceRequest, service.multi_inference
            ),
            _PREDICTION + "GetModelMetadata": _quick(
                inference_pb2.GetModelMetadataRequest, service.get_model_metadata
            ),
            _MODEL + "GetModelStatus": _quick(
                management_pb2.GetModelStatusRequest, service.get_model_status
            ),
            _MODEL + "HandleReloadConfigRequest": self._reload(service),
        }
        if health:
            methods[_HEALTH + "Check"] = _quick(server_config_pb2.HealthCheckRequest, _check_health)
        return methods

    def _reload(self, service: ModelService) -> Method[management_pb2.ReloadConfigRequest]:
        async def answer(request: management_pb2.ReloadConfigRequest, call: Call) -> Message:
            gone = threading.Event()
            loop = asyncio.get_running_loop()
            try:
                return await loop.run_in_executor(
                    self._reloads,
                    lambda: service.reload_config(request, keep_waiting=lambda: not gone.is_set()),
                )
            finally:
                gone.set()

        return Method(management_pb2.ReloadConfigRequest, answer)


def _quick(kind: type[M], answer: Callable[[M], Message]) -> Method[M]:
    async def answered(request: M, call: Call) -> Message:
        return answer(request)

    return Method(kind, answered)


def _check_health(
    request: server_config_pb2.HealthCheckRequest,
) -> server_config_pb2.HealthCheckResponse:
    if request.service not in _HEALTHY:
        raise StatusError(Code.NOT_FOUND, f"no service {request.service!r}")
    return server_config_pb2.HealthCheckResponse(
        status=server_config_pb2.HealthCheckResponse.SERVING
    )


@contextlib.contextmanager
def _named_errors(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StatusError(
            Code.UNAVAILABLE, f"cannot listen on {address}: {error.strerror or error}"
        ) from error
