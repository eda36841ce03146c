"""A real gRPC server whose answers a test writes, and clients of both kinds behind one face."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from dualtower_clients import AsyncServingClient, ServingClient
from dualtower_clients.proto import inference_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
Answer = Callable[[str, bytes, grpc.ServicerContext], bytes]

# one model's answer, with nothing in it but who it is from
ANSWER = inference_pb2.PredictResponse(
    model_spec=inference_pb2.ModelSpec(name="m")
).SerializeToString()


def ok(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
    """Answers anything with a Prediction of no outputs."""
    return ANSWER


def failing(code: str, details: str = "") -> Answer:
    """Answers anything with this code."""

    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode[code], details)
        raise AssertionError("abort raises")

    return answer


def waiting_for(event: threading.Event) -> Answer:
    """Answers when the event is set."""

    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        event.wait(60)
        return ANSWER

    return answer


class ScriptedServer(grpc.GenericRpcHandler):
    """Answers every method with `answer(method, request, context)`, which may be exchanged.

    Attributes:
        calls: how often each method was called.
        metadata: of the calls, in order.
        cancelled: how many calls ended before they were answered.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        address: str = "127.0.0.1:0",
        credentials: grpc.ServerCredentials | None = None,
        threads: int = 4,
    ) -> None:
        self.answer = answer
        self.calls: Counter[str] = Counter()
        self.metadata: list[dict[str, str | bytes]] = []
        self.cancelled = 0
        self._lock = threading.Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(threads),
            handlers=(self,),
            options=(("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)),
        )
        host = address.rpartition(":")[0]
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self.address = f"{host}:{self.port}"
        self._server.start()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answered(details.method, request, context)
        )

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _answered(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self.calls[method] += 1
            self.metadata.append(dict(context.invocation_metadata()))
        context.add_callback(lambda: self._ended(context))
        return self.answer(method, request, context)

    def _ended(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self.cancelled += context.code() is None and not context.is_active()


class Blocking:
    """An `AsyncServingClient` whose methods a test calls as those of a `ServingClient`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._runner = asyncio.new_event_loop()
        self._client = AsyncServingClient(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **named: self._runner.run_until_complete(value(*args, **named))

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._runner.is_closed():
            self._runner.run_until_complete(self._client.close())
            self._runner.run_until_complete(self._runner.shutdown_default_executor())
            self._runner.close()


KINDS: dict[str, Any] = {"threads": ServingClient, "asyncio": Blocking}
