"""What load is sent to: one request at a time by number, answered with "OK" or an error's name.

A target owns requests that were encoded beforehand, so that the generator spends its time on
sending. Answers are not decoded under load; `first_answer` returns one for the caller to check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import grpc

from dualtower.errors import UnavailableError
from dualtower_benchmarks.samples import OK

__all__ = ["PREDICT", "Blocking", "GrpcTarget", "Target"]

PREDICT = "/tensorflow.serving.PredictionService/Predict"

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # without this, channels to one address share one connection and one server-side queue
    ("grpc.use_local_subchannel_pool", 1),
)


class Blocking(Protocol):
    """Something that can be asked and waited for, which is all that a closed loop needs."""

    def call(self, index: int) -> str:
        """Sends request `index` (they repeat from the start) and waits: "OK" or an error's name."""


class Target(Blocking, Protocol):
    """Something that can also be asked without waiting, as an open loop needs."""

    def send(self, index: int, done: Callable[[str], None]) -> None:
        """The same without waiting; `done` gets the status, on any thread."""


class GrpcTarget:
    """A gRPC method with encoded requests, over a connection of its own.

    Example:
        with GrpcTarget("127.0.0.1:8500", requests, deadline_s=10.0) as target:
            target.call(0)
    """

    def __init__(
        self, address: str, requests: Sequence[bytes], *, deadline_s: float, method: str = PREDICT
    ) -> None:
        if not requests:
            raise ValueError("a target needs at least one request")
        self._address, self._requests, self._deadline_s = address, requests, deadline_s
        self._channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        # no serialisers: bytes go out and come back as they are
        self._method = self._channel.unary_unary(method, None, None)

    def __enter__(self) -> GrpcTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

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

    def call(self, index: int) -> str:
        try:
            self._method(self._requests[index % len(self._requests)], timeout=self._deadline_s)
        except grpc.RpcError as error:
            return str(error.code().name)
        return OK

    def send(self, index: int, done: Callable[[str], None]) -> None:
        future = self._method.future(
            self._requests[index % len(self._requests)], timeout=self._deadline_s
        )
        # the future is a grpc.Call, too, which its type stub does not say
        future.add_done_callback(lambda ended: done(str(ended.code().name)))  # type: ignore[attr-defined]
