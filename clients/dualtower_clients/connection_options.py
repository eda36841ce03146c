"""The options with which every command says where a server is, and who asks.

address_option       --address                ─► address: tuple[str, ...]
settings_options     --tls … --compression    ─► settings: ChannelSettings
connection_options   --address, --timeout-s and those ─► connection: Connection
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dualtower.command_options import with_options
from dualtower.errors import UsageError
from dualtower_clients.settings import DEFAULT_TIMEOUT_S, ChannelSettings, TlsSettings

__all__ = ["Connection", "address_option", "connection_options", "settings_options"]

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


def settings_options(command: F) -> F:
    """Adds the options of `ChannelSettings`; the command gets them as `settings`."""

    @functools.wraps(command)
    def with_settings(
        tls: bool,
        root_certificates: str | None,
        client_certificate: str | None,
        client_key: str | None,
        tls_host_name: str | None,
        token_file: str | None,
        send_token_without_tls: bool,
        metadata: tuple[str, ...],
        compression: Any,
        **others: Any,
    ) -> Any:
        encrypted = None
        if tls or any((root_certificates, client_certificate, client_key, tls_host_name)):
            encrypted = TlsSettings.from_files(
                root_certificates=root_certificates,
                client_certificate=client_certificate,
                client_key=client_key,
                host_name=tls_host_name,
            )
        token = _token(token_file)
        if token is not None and encrypted is None and not send_token_without_tls:
            source = f"--token-file {token_file}" if token_file else f"${_TOKEN_VARIABLE}"
            raise UsageError(
                f"the token of {source} would go over a connection without TLS, where it can be "
                "read; give --tls, or --send-token-without-tls, or no token"
            )
        settings = ChannelSettings(
            tls=encrypted,
            token=token,
            send_token_without_tls=send_token_without_tls,
            metadata=[_pair(one) for one in metadata],
            compression=compression,
        )
        return command(settings=settings, **others)

    return _SETTINGS(with_settings)  # type: ignore[return-value]


def address_option(command: F) -> F:
    """Adds --address; the command gets all that were given as `address`."""
    return _ADDRESS(command)


def connection_options(command: F) -> F:
    """Adds all options; the command gets them as `connection`."""

    @functools.wraps(command)
    def with_connection(
        address: tuple[str, ...], timeout_s: float, settings: ChannelSettings, **others: Any
    ) -> Any:
        return command(connection=Connection(address, timeout_s, settings), **others)

    return _PLACE(settings_options(with_connection))  # type: ignore[return-value]


_ADDRESS = click.option(
    "--address",
    multiple=True,
    default=("localhost:8500",),
    show_default=True,
    metavar="HOST:PORT",
    help="The server's gRPC address; several times for several replicas.",
)
_PLACE = with_options(
    _ADDRESS,
    click.option(
        "--timeout-s",
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Deadline of a call, retries included.",
    ),
)
_SETTINGS = with_options(
    click.option("--tls", is_flag=True, help="Connect by TLS, trusting the public authorities."),
    click.option(
        "--root-certificates", metavar="PEM", help="By TLS, trusting the authorities of this file."
    ),
    click.option("--client-certificate", metavar="PEM", help="The client's own, for mutual TLS."),
    click.option("--client-key", metavar="PEM", help="The key of --client-certificate."),
    click.option(
        "--tls-host-name", metavar="NAME", help="What the server's certificate names instead."
    ),
    click.option(
        "--token-file",
        metavar="FILE",
        help="Holds a bearer token that goes with each call, by TLS alone.  "
        f"[default: ${_TOKEN_VARIABLE}]",
    ),
    click.option(
        "--send-token-without-tls",
        is_flag=True,
        help="Let the token go where it can be read on the way.",
    ),
    click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Goes with each call."),
    click.option(
        "--compression",
        type=click.Choice(("none", "gzip", "deflate")),
        default="none",
        show_default=True,
        help="Of requests.",
    ),
)


def _token(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the token in {path}: {error}") from error


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--metadata {text!r} is no KEY=VALUE")
    return key, value
