"""A real gRPC server in front of another one. A test decides what becomes of each call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from dualtower_clients.proto import inference_pb2

Fault = Callable[[int, grpc.ServicerContext], None]  # may abort; gets how many calls came before

QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full"


class Relay(grpc.GenericRpcHandler):
    """Passes calls on to `upstream`.

    Args:
        upstream: where they go; may be exchanged.
        fault: called with each call that embeds.
    """

    def __init__(
        self,
        upstream: str,
        fault: Fault | None = None,
        *,
        threads: int = 8,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.upstream = upstream
        self.fault = fault
        self.embedded = 0
        self.described = 0
        self.rows: list[int] = []
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self.metadata: list[dict[str, str | bytes]] = []  # of all calls
        self._server = grpc.server(
            futures.ThreadPoolExecutor(threads),
            handlers=(self,),
            options=(("grpc.max_receive_message_length", -1),),
        )
        if credentials is None:
            port = self._server.add_insecure_port("localhost:0")
        else:
            port = self._server.add_secure_port("localhost:0", credentials)
        self.address = f"localhost:{port}"
        self._server.start()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(details.method, request, context)
        )

    def stop(self) -> None:
        self._server.stop(None).wait()
        for channel in self._channels.values():
            channel.close()

    def _answer(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        asked = inference_pb2.PredictRequest.FromString(request)
        with self._lock:
            self.metadata.append(dict(context.invocation_metadata()))
            if asked.model_spec.signature_name == "describe":
                self.described += 1
                fault = None
            else:
                before, fault = self.embedded, self.fault
                self.embedded += 1
                (tensor,) = asked.inputs.values()
                self.rows.append(tensor.tensor_shape.dim[0].size)
            channel = self._channels.get(self.upstream)
            if channel is None:
                channel = self._channels[self.upstream] = grpc.insecure_channel(self.upstream)
        if fault is not None:
            fault(before, context)
        try:
            return channel.unary_unary(method)(request, timeout=30)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
            raise AssertionError("abort raises") from error


def busy(context: grpc.ServicerContext) -> None:
    """Answers as a server whose batching queue is full."""
    context.abort(grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)
