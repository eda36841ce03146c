"""What the gRPC front takes from the flags, gRPC's own channel arguments among them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from dualtower.errors import UsageError
from dualtower_serving.embedded.flags import Flags
from dualtower_serving.embedded.http2_limits import Http2Limits
from dualtower_serving.embedded.open_files import OTHER_FILES, most_open_files

__all__ = ["GrpcSettings", "settings_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GrpcSettings:
    """How to answer.

    Attributes:
        max_calls: that are answered at a time; further ones are refused.
        max_message_bytes: of a request; larger ones are refused before they are held in memory.
        max_held_bytes: of all messages that are on their way or worked on.
        health: whether the health service is there.
        http2: what a connection may cost.
    """

    max_calls: int = 1000
    max_message_bytes: int = 256 << 20
    max_held_bytes: int = 2 << 30
    health: bool = False
    http2: Http2Limits = field(default_factory=Http2Limits)


def settings_of(flags: Flags) -> GrpcSettings:
    """What the flags say. A channel argument wins over the flag that says the same.

    A channel argument that has no meaning here is logged and left out, as gRPC leaves out what it
    does not know.

    Raises:
        UsageError: the value of one is no whole number of at least 1.
    """
    max_calls = max(flags.max_open_calls, flags.grpc_max_threads)
    max_message_bytes = flags.max_message_bytes
    http2 = Http2Limits(streams=2 * max_calls, connections=max(1, most_open_files() - OTHER_FILES))
    for name, value in flags.channel_arguments():
        if name not in _KNOWN:
            _log.warning("--grpc_channel_arguments: %s takes no effect here", name)
            continue
        if name == _MESSAGE_BYTES and value == -1:  # gRPC's word for "no limit"
            value = _INT_MAX
        if not isinstance(value, int) or value < 1:
            raise UsageError(
                f"--grpc_channel_arguments: {name} takes a whole number of at least 1, got {value}"
            )
        if name == _MESSAGE_BYTES:
            max_message_bytes = value
        elif name == _STREAMS:
            http2 = replace(http2, streams=value)
        elif value < _INT_MAX:  # with which gRPC says "never"
            changed: dict[str, Any] = {_TIMES[name]: value / 1000}
            http2 = replace(http2, **changed)
    return GrpcSettings(
        max_calls=max_calls,
        max_message_bytes=max_message_bytes,
        max_held_bytes=max(max_message_bytes, flags.max_in_flight_bytes),
        health=flags.enable_grpc_healthcheck_service,
        http2=http2,
    )


_INT_MAX = (1 << 31) - 1
_MESSAGE_BYTES = "grpc.max_receive_message_length"
_STREAMS = "grpc.max_concurrent_streams"
_TIMES = {
    "grpc.max_connection_age_ms": "max_age_s",
    "grpc.max_connection_age_grace_ms": "max_age_grace_s",
    "grpc.max_connection_idle_ms": "max_idle_s",
    "grpc.keepalive_time_ms": "keepalive_s",
    "grpc.keepalive_timeout_ms": "keepalive_timeout_s",
    "grpc.server_handshake_timeout_ms": "handshake_timeout_s",
}
_KNOWN = {_MESSAGE_BYTES, _STREAMS, *_TIMES}
