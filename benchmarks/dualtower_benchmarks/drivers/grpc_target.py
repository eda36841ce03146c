"""A gRPC method as a target of load.

A target owns requests that were encoded beforehand, so that the generator spends its time on
sending. Answers are not decoded under load, unless who answered is asked for; `first_answer`
returns one for the caller to check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy.typing as npt

from dualtower.errors import UnavailableError
from dualtower_benchmarks.load.samples import OK

__all__ = ["PREDICT", "GrpcTarget"]

PREDICT = "/tensorflow.serving.PredictionService/Predict"

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # without this, channels to one address share one connection and one server-side queue
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcTarget:
    """A gRPC method with encoded requests, over a connection of its own.

    Args:
        who: Predict alone: the status of an answer names the version that gave it, "OK 2".

    Example:
        with GrpcTarget("127.0.0.1:8500", requests, deadline_s=10.0) as target:
            target.call(0)
    """

    def __init__(
        self,
        address: str,
        requests: Sequence[bytes],
        *,
        deadline_s: float,
        method: str = PREDICT,
        who: bool = False,
    ) -> None:
        if not requests:
            raise ValueError("a target needs at least one request")
        self._address, self._requests, self._deadline_s = address, requests, deadline_s
        self._who = who
        self._channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        # no serialisers: bytes go out and come back as they are
        self._method = self._channel.unary_unary(method, None, None)

    def __enter__(self) -> GrpcTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def connect(self) -> None:
        """Returns when the connection is there.

        Raises:
            UnavailableError: it is not in time.
        """
        try:
            grpc.channel_ready_future(self._channel).result(timeout=self._deadline_s)
        except grpc.FutureTimeoutError as error:
            raise UnavailableError(f"{self._address} takes no connection") from error

    def first_answer(self) -> bytes:
        """The answer to the first request, waiting for the server to be there.

        Raises:
            UnavailableError: the server refuses the request, or is not there.
        """
        try:
            answer: bytes = self._method(
                self._requests[0], timeout=self._deadline_s, wait_for_ready=True
            )
        except grpc.RpcError as error:
            raise UnavailableError(
                f"{self._address} does not answer the benchmark's request: "
                f"{error.code().name} {error.details()}; look at the server's log"
            ) from error
        return answer

    def embed(self, index: int) -> npt.NDArray[Any]:
        """The embeddings in the answer to request `index`, of a tower.

        Raises:
            grpc.RpcError: the server refuses it, or is not there.
        """
        from dualtower_clients.codec import decode
        from dualtower_clients.proto.inference_pb2 import PredictResponse

        request = self._requests[index % len(self._requests)]
        answer = self._method(request, timeout=self._deadline_s)
        return decode(PredictResponse.FromString(answer).outputs["embedding"])

    def call(self, index: int) -> str:
        try:
            answer = self._method(
                self._requests[index % len(self._requests)], timeout=self._deadline_s
            )
        except grpc.RpcError as error:
            return str(error.code().name)
        return _by_whom(answer) if self._who else OK

    def send(self, index: int, done: Callable[[str], None]) -> None:
        future = self._method.future(
            self._requests[index % len(self._requests)], timeout=self._deadline_s
        )
        # the future is a grpc.Call, too, which its type stub does not say
        ended: Callable[[Any], None]
        if self._who:
            ended = lambda call: done(_named(call))  # noqa: E731
        else:
            ended = lambda call: done(str(call.code().name))  # noqa: E731
        future.add_done_callback(ended)  # type: ignore[attr-defined]


def _named(call: Any) -> str:
    status = str(call.code().name)
    return _by_whom(call.result()) if status == OK else status


def _by_whom(answer: bytes) -> str:
    """The status with the version that answered."""
    from dualtower_clients.proto.inference_pb2 import PredictResponse

    return f"{OK} {PredictResponse.FromString(answer).model_spec.version.value}"
