"""The gRPC front of a ModelService: bytes in, bytes out, codes and texts as model servers send.

Requests run in a bounded pool of threads. Those that wait for a thread form a bounded queue; beyond
it a call is refused with RESOURCE_EXHAUSTED. A call whose caller has gone while it waited is not
computed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from dualtower_clients.proto import inference_pb2, management_pb2
from dualtower_serving.embedded.service import ModelService
from dualtower_serving.embedded.status import Code, StatusError, truncate

__all__ = ["GrpcFront"]

_PREDICTION = "tensorflow.serving.PredictionService"
_MODEL = "tensorflow.serving.ModelService"
_WAITING_CALLS = 1000
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else a second server on the same port takes half of the calls
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


class GrpcFront:
    """Listens and answers.

    Args:
        service: answers the requests.
        threads: calls that are worked on at a time.
    """

    def __init__(self, service: ModelService, *, threads: int) -> None:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._server = grpc.server(
            pool, options=_OPTIONS, maximum_concurrent_rpcs=threads + _WAITING_CALLS
        )
        self._server.add_generic_rpc_handlers(_handlers(service))

    def listen(self, address: str) -> int:
        """Adds an address ("0.0.0.0:8500", "unix:/path"); returns its port.

        Raises:
            StatusError: UNAVAILABLE, the address is taken or cannot be bound.
        """
        try:
            return int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise StatusError(Code.UNAVAILABLE, f"cannot listen on {address}: {error}") from error

    def start(self) -> None:
        """Begins to answer."""
        self._server.start()

    def stop(self, *, drain_s: float) -> threading.Event:
        """Refuses new calls, cuts running ones after `drain_s`; the event is set when done."""
        stopped: threading.Event = self._server.stop(drain_s)
        return stopped


def _handlers(service: ModelService) -> tuple[Any, ...]:
    def reload(
        request: management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> Message:
        return service.reload_config(request, keep_waiting=context.is_active)

    prediction = {
        "Predict": _unary(inference_pb2.PredictRequest, lambda r, _: service.predict(r)),
        "GetModelMetadata": _unary(
            inference_pb2.GetModelMetadataRequest, lambda r, _: service.get_model_metadata(r)
        ),
    }
    model = {
        "GetModelStatus": _unary(
            management_pb2.GetModelStatusRequest, lambda r, _: service.get_model_status(r)
        ),
        "HandleReloadConfigRequest": _unary(management_pb2.ReloadConfigRequest, reload),
    }
    return (
        grpc.method_handlers_generic_handler(_PREDICTION, prediction),
        grpc.method_handlers_generic_handler(_MODEL, model),
    )


def _unary(kind: type[M], answer: Callable[[M, grpc.ServicerContext], Message]) -> Any:
    """A handler on bytes, so that a request that does not parse ends in our words."""

    def handle(raw: bytes, context: grpc.ServicerContext) -> bytes:
        left_s = context.time_remaining()
        if not context.is_active() or (left_s is not None and left_s <= 0):
            return b""  # nobody waits for it any more
        try:
            return answer(kind.FromString(raw), context).SerializeToString()
        except StatusError as error:
            code, message = error.code, error.message
        except DecodeError:
            code, message = Code.INTERNAL, f"the request's {len(raw)} bytes are no {kind.__name__}"
        except Exception as error:  # a bug or a machine out of memory must not end the server
            _log.exception("unexpected, answered as INTERNAL")
            code, message = Code.INTERNAL, f"{type(error).__name__}: {error}"
        context.set_code(_CODES[code])
        context.set_details(truncate(message))
        return b""

    return grpc.unary_unary_rpc_method_handler(handle)
