"""A gRPC channel that takes bytes and gives bytes, or one of our errors."""

from __future__ import annotations

import time
from typing import Any

import grpc

from dualtower_clients._calls import CallFacts, error_of
from dualtower_clients.errors import CallCancelled

__all__ = ["CHANNEL_OPTIONS", "DEFAULT_TIMEOUT_S", "ByteChannel", "options_for"]

DEFAULT_TIMEOUT_S = 10.0

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # gRPC's own limit for received messages is 4 MiB: 2,730 embeddings of 384 floats
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # a server that comes back is found soon (gRPC's own: after 1 s, then up to 120 s)
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
_LOOPBACK = ("localhost", "127.", "[::1]", "unix:")


def options_for(address: str) -> tuple[tuple[str, int], ...]:
    """Options of a channel; a proxy of the environment is not asked for the own machine."""
    if address.startswith(_LOOPBACK):
        return (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0))
    return CHANNEL_OPTIONS


class ByteChannel:
    """One connection to one address, without TLS. Threads may share it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address, options=options_for(address))
        self._methods: dict[str, Any] = {}

    def call(
        self, method: str, request: bytes, facts: CallFacts, *, wait_for_ready: bool = False
    ) -> tuple[bytes, float]:
        """Sends one request; returns the answer and the milliseconds it took.

        Raises:
            ClientError: the call did not end well; see `dualtower_clients.errors`.
        """
        callable_ = self._methods.get(method)
        if callable_ is None:
            callable_ = self._methods[method] = self._channel.unary_unary(
                method, request_serializer=bytes, response_deserializer=bytes
            )
        begin_ns = time.monotonic_ns()
        try:
            raw: bytes = callable_(request, timeout=facts.timeout_s, wait_for_ready=wait_for_ready)
        except grpc.RpcError as error:
            raise error_of(error.code(), error.details() or "", facts) from error
        except ValueError as error:  # grpc: "Cannot invoke RPC on closed channel!"
            raise CallCancelled(
                f"the client of {facts.address} is closed; open a new one",
                address=facts.address,
                model=facts.model,
            ) from error
        return raw, (time.monotonic_ns() - begin_ns) / 1e6

    def close(self) -> None:
        """Ends the connection; running calls end as CallCancelled."""
        self._channel.close()
