"""What gRPC is told about a connection: targets, channel arguments, credentials, metadata. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from dualtower.errors import UsageError
from dualtower_clients.errors import AccessDenied
from dualtower_clients.settings import ChannelSettings, TlsSettings

__all__ = ["authorization", "compression_of", "credentials_of", "options_for", "targets_of"]

_RECONNECT: tuple[tuple[str, Any], ...] = (
    # a server that comes back is found soon (gRPC's own: after 1 s, then up to 120 s)
    ("grpc.initial_reconnect_backoff_ms", 100),
    # the time of one attempt to connect, whatever its name says, and TLS over a slow network takes
    # a second of it (gRPC's own: 20 s, in which a silent replica would keep a call from the others)
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # a name that points elsewhere is noticed soon after its connections broke (gRPC's own: 30 s)
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
)
# calls go round among all addresses of a name; gRPC's own choice is the first one only
_ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_NO_LIMIT = -1
_LOOPBACK = ("localhost", "127.", "[::1]", "unix:")
_COMPRESSION = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}


def targets_of(address: str | Sequence[str]) -> tuple[str, ...]:
    """One target, or several; each at most once.

    Raises:
        UsageError: no address, or one that is none.
    """
    if not isinstance(address, Iterable):
        raise UsageError(f"an address is a text such as 'localhost:8500', got {address!r}")
    targets = (address,) if isinstance(address, str) else tuple(address)
    if not targets:
        raise UsageError("an address has to be given, such as 'localhost:8500'; got an empty list")
    for target in targets:
        if not isinstance(target, str) or not target.strip():
            raise UsageError(f"an address is a text such as 'localhost:8500', got {target!r}")
    return tuple(dict.fromkeys(targets))


def options_for(target: str, settings: ChannelSettings) -> list[tuple[str, Any]]:
    """gRPC's channel arguments for one target."""
    options: dict[str, Any] = dict(_RECONNECT)
    options["grpc.max_send_message_length"] = settings.max_send_bytes or _NO_LIMIT
    options["grpc.max_receive_message_length"] = settings.max_receive_bytes or _NO_LIMIT
    if target.startswith("dns:"):
        options["grpc.service_config"] = _ROUND_ROBIN
    if target.startswith(_LOOPBACK):  # a proxy of the environment is not for the own machine
        options["grpc.enable_http_proxy"] = 0
    if settings.keep_alive_s is not None:
        options["grpc.keepalive_time_ms"] = int(settings.keep_alive_s * 1000)
        options["grpc.keepalive_timeout_ms"] = int(settings.keep_alive_timeout_s * 1000)
        # the pings by which gRPC measures bandwidth stand in for these, with a timeout of a minute
        options["grpc.http2.ping_timeout_ms"] = int(settings.keep_alive_timeout_s * 1000)
        options["grpc.keepalive_permit_without_calls"] = 1
        options["grpc.http2.max_pings_without_data"] = 0
    if settings.tls is not None and settings.tls.host_name is not None:
        options["grpc.ssl_target_name_override"] = settings.tls.host_name
        options["grpc.default_authority"] = settings.tls.host_name
    return list({**options, **dict(settings.options)}.items())


def credentials_of(tls: TlsSettings | None) -> grpc.ChannelCredentials | None:
    """gRPC's credentials; None for a connection without TLS."""
    if tls is None:
        return None
    return grpc.ssl_channel_credentials(
        tls.root_certificates, tls.client_key, tls.client_certificate
    )


def compression_of(settings: ChannelSettings) -> grpc.Compression:
    """gRPC's name of the compression."""
    return _COMPRESSION[settings.compression]


def authorization(settings: ChannelSettings, address: str) -> list[tuple[str, str | bytes]]:
    """The pair that carries the token, if there is one. A callable token is asked for it.

    Raises:
        AccessDenied: the token could not be renewed.
    """
    token = settings.token
    if token is None:
        return []
    if callable(token):
        try:
            token = token()
        except Exception as error:
            raise AccessDenied(
                f"the token for {address} could not be renewed ({type(error).__name__}: {error}); "
                "see why the callable that was given as token= fails",
                address=address,
            ) from error
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise AccessDenied(
            f"the token for {address} is no printable ASCII text, so that it cannot be sent; "
            "see what was given as token=",
            address=address,
        )
    return [("authorization", f"Bearer {token}")]
