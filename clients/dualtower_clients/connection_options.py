"""The options with which every command of the clients says where a server is, and who asks."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dualtower.errors import UsageError
from dualtower_clients.settings import DEFAULT_TIMEOUT_S, ChannelSettings, TlsSettings

__all__ = ["Connection", "connection_options"]

F = TypeVar("F", bound=Callable[..., Any])

_TOKEN_VARIABLE = "DUALTOWER_TOKEN"


@dataclass(frozen=True)
class Connection:
    """What the options say.

    Attributes:
        addresses: one or several.
        timeout_s: of a call.
        settings: TLS, token, metadata, compression.
    """

    addresses: tuple[str, ...]
    timeout_s: float
    settings: ChannelSettings


def connection_options(command: F) -> F:
    """Adds the options; the command gets their `Connection` as `connection`."""

    @functools.wraps(command)
    def with_connection(
        address: tuple[str, ...],
        timeout_s: float,
        tls: bool,
        tls_roots: str | None,
        tls_certificate: str | None,
        tls_key: str | None,
        tls_host: str | None,
        metadata: tuple[str, ...],
        compression: Any,
        **others: Any,
    ) -> Any:
        files = (tls_roots, tls_certificate, tls_key, tls_host)
        encrypted = None
        if tls or any(one is not None for one in files):
            encrypted = TlsSettings.from_files(
                root_certificates=tls_roots,
                client_certificate=tls_certificate,
                client_key=tls_key,
                host_name=tls_host,
            )
        settings = ChannelSettings(
            tls=encrypted,
            token=os.environ.get(_TOKEN_VARIABLE),
            metadata=[_pair(one) for one in metadata],
            compression=compression,
        )
        return command(connection=Connection(address, timeout_s, settings), **others)

    for option in reversed(_OPTIONS):
        with_connection = option(with_connection)
    return with_connection  # type: ignore[return-value]


_OPTIONS = (
    click.option(
        "--address",
        multiple=True,
        default=("localhost:8500",),
        show_default=True,
        metavar="HOST:PORT",
        help="The server's gRPC address; several times for several replicas.",
    ),
    click.option(
        "--timeout-s",
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Deadline of a call, retries included.",
    ),
    click.option("--tls", is_flag=True, help="Connect by TLS, trusting the public authorities."),
    click.option("--tls-roots", metavar="PEM", help="Trust the authorities of this file instead."),
    click.option("--tls-certificate", metavar="PEM", help="The client's own, for mutual TLS."),
    click.option("--tls-key", metavar="PEM", help="The key of --tls-certificate."),
    click.option("--tls-host", metavar="NAME", help="What the server's certificate names."),
    click.option(
        "--metadata",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Goes with each call. A bearer token is read from ${_TOKEN_VARIABLE}.",
    ),
    click.option(
        "--compression",
        type=click.Choice(("none", "gzip", "deflate")),
        default="none",
        show_default=True,
        help="Of requests.",
    ),
)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--metadata {text!r} is no KEY=VALUE")
    return key, value
