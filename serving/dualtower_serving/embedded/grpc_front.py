"""The gRPC front of a ModelService: bytes in, bytes out, codes and texts as model servers send.

    event loop ─► parse ─► service ─► (TensorFlow, in its threads) ─► serialize

One loop holds all calls; nobody waits in a thread. So many calls may be open at a time, and beyond
that one is refused with RESOURCE_EXHAUSTED. A call whose message has not come yet is not counted:
who opens calls and sends nothing keeps nobody out. A call whose caller has gone, or whose deadline
has passed, is cancelled where it is; if its graph has not begun to run, it never will.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from dualtower_clients.proto import (
    examples_pb2,
    inference_pb2,
    management_pb2,
    server_config_pb2,
)
from dualtower_serving.embedded.execution import Call, off_loop
from dualtower_serving.embedded.service import ModelService
from dualtower_serving.embedded.status import Code, StatusError, truncate

__all__ = ["GrpcFront"]

_PREDICTION = "tensorflow.serving.PredictionService"
_MODEL = "tensorflow.serving.ModelService"
_HEALTH = "grpc.health.v1.Health"
_HEALTHY = ("", "ModelService", "PredictionService")  # the stock server's names, short as they are
_RELOADS = 8  # calls of HandleReloadConfigRequest that wait at a time
_SILENT_CALLS = 20  # that may be opened without a message, for each that may be answered
_HANDSHAKE_MS = 20_000
_CODES = {code.value[0]: code for code in grpc.StatusCode}

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)
Answer = Callable[[M, Call], Awaitable[Message]]


class GrpcFront:
    """Listens and answers. Made and used on the event loop.

    Args:
        service: answers the requests.
        max_calls: that are answered at a time; further ones are refused.
        max_message_bytes: of a request; larger ones are refused before they are held in memory.
        options: further arguments of the channel, which win.
        health: whether the health service is there.
    """

    def __init__(
        self,
        service: ModelService,
        *,
        max_calls: int,
        max_message_bytes: int,
        options: Sequence[tuple[str, int | str]] = (),
        health: bool = False,
    ) -> None:
        self._reloads = ThreadPoolExecutor(_RELOADS, thread_name_prefix="reload")
        set_here: dict[str, int | str] = {
            "grpc.max_receive_message_length": max_message_bytes,
            "grpc.max_send_message_length": -1,
            "grpc.so_reuseport": 0,  # else a second server on the port takes half of the calls
            "grpc.max_concurrent_streams": 2 * max_calls,  # of one connection; its client waits
            "grpc.server_handshake_timeout_ms": _HANDSHAKE_MS,
        }
        self._max_calls = max_calls
        self._calls = 0
        self._server = grpc.aio.server(
            options=list({**set_here, **dict(options)}.items()),
            maximum_concurrent_rpcs=max_calls * _SILENT_CALLS,
        )
        self._server.add_generic_rpc_handlers(self._handlers(service, health=health))

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Adds an address ("0.0.0.0:8500", "unix:/path"); returns its port.

        Raises:
            StatusError: UNAVAILABLE, the address is taken or cannot be bound.
        """
        try:
            if credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise StatusError(Code.UNAVAILABLE, f"cannot listen on {address}: {error}") from error

    async def start(self) -> None:
        """Begins to answer."""
        await self._server.start()

    async def stop(self, *, drain_s: float) -> None:
        """Refuses new calls, waits for running ones, and cuts them after `drain_s`."""
        await self._server.stop(drain_s)
        self._reloads.shutdown(wait=False, cancel_futures=True)

    def _handlers(self, service: ModelService, *, health: bool) -> tuple[Any, ...]:
        prediction = {
            "Predict": self._unary(inference_pb2.PredictRequest, service.predict),
            "Classify": self._unary(examples_pb2.ClassificationRequest, service.classify),
            "Regress": self._unary(examples_pb2.RegressionRequest, service.regress),
            "MultiInference": self._unary(
                examples_pb2.MultiInferenceRequest, service.multi_inference
            ),
            "GetModelMetadata": self._unary(
                inference_pb2.GetModelMetadataRequest, _quick(service.get_model_metadata)
            ),
        }
        model = {
            "GetModelStatus": self._unary(
                management_pb2.GetModelStatusRequest, _quick(service.get_model_status)
            ),
            "HandleReloadConfigRequest": self._unary(
                management_pb2.ReloadConfigRequest, self._reload(service)
            ),
        }
        services: dict[str, Mapping[str, Any]] = {_PREDICTION: prediction, _MODEL: model}
        if health:
            services[_HEALTH] = {
                "Check": self._unary(server_config_pb2.HealthCheckRequest, _quick(_check_health))
            }
        return tuple(
            grpc.method_handlers_generic_handler(name, methods)
            for name, methods in services.items()
        )

    def _reload(self, service: ModelService) -> Answer[management_pb2.ReloadConfigRequest]:
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

        return answer

    def _unary(self, kind: type[M], answer: Answer[M]) -> Any:
        """A handler on bytes, so that a request that does not parse ends in our words."""

        async def handle(raw: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            if self._calls >= self._max_calls:
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"{self._calls} calls are being answered, as many as --max_open_calls allows",
                )
            self._calls += 1
            try:
                return await self._answer(raw, context, kind, answer)
            finally:
                self._calls -= 1

        return grpc.unary_unary_rpc_method_handler(handle)

    async def _answer(
        self,
        raw: bytes,
        context: grpc.aio.ServicerContext[bytes, bytes],
        kind: type[M],
        answer: Answer[M],
    ) -> bytes:
        left_s = context.time_remaining()
        call = Call(
            None if left_s is None else time.monotonic_ns() + int(left_s * 1e9),
            size_bytes=len(raw),
        )
        try:
            request = await off_loop(len(raw), kind.FromString, raw)
            response = await answer(request, call)
            return await off_loop(response.ByteSize(), response.SerializeToString)
        except StatusError as error:
            code, message = error.code, error.message
        except DecodeError:
            code, message = Code.INTERNAL, f"the request's {len(raw)} bytes are no {kind.__name__}"
        except Exception as error:  # a bug or a machine out of memory must not end the server
            _log.exception("unexpected, answered as INTERNAL")
            code, message = Code.INTERNAL, f"{type(error).__name__}: {error}"
        await context.abort(_CODES[code], truncate(message))
        raise AssertionError("abort always raises")


def _quick(answer: Callable[[M], Message]) -> Answer[M]:
    async def answered(request: M, call: Call) -> Message:
        return answer(request)

    return answered


def _check_health(
    request: server_config_pb2.HealthCheckRequest,
) -> server_config_pb2.HealthCheckResponse:
    if request.service not in _HEALTHY:
        raise StatusError(Code.NOT_FOUND, f"no service {request.service!r}")
    return server_config_pb2.HealthCheckResponse(
        status=server_config_pb2.HealthCheckResponse.SERVING
    )
