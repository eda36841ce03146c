"""`--ssl_config_file`: TLS for gRPC, with certificates of clients where they are asked for.

The file is TensorFlow Serving's SSLConfig in protobuf's text format, with the PEM texts themselves.
"""

from __future__ import annotations

import os
import re
import ssl

from google.protobuf import text_format

from dualtower.errors import UsageError
from dualtower_clients.proto import server_config_pb2

__all__ = ["read_context"]

_KEY = re.compile(r"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----.+-----END", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+-----END", re.DOTALL)


def read_context(path: str) -> ssl.SSLContext:
    """The server's side of TLS, 1.2 or later, as the file describes it.

    Raises:
        UsageError: the file cannot be read, or lacks what TLS needs.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            config = text_format.Parse(stream.read(), server_config_pb2.SSLConfig())
    except OSError as error:
        raise UsageError(f"cannot read the SSL config file {path}: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UsageError(f"Invalid protobuf file: '{path}': {_place(error)}") from error
    _check(path, "server_key", config.server_key, _KEY)
    _check(path, "server_cert", config.server_cert, _CERTIFICATE)
    if config.custom_ca or config.client_verify:
        _check(path, "custom_ca", config.custom_ca, _CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        _show(context, config.server_key, config.server_cert)
        if config.client_verify:
            context.load_verify_locations(cadata=config.custom_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise UsageError(
            f"{path}: TLS cannot use its key and certificates ({error.reason or 'not readable'}); "
            "does server_key belong to server_cert?"
        ) from error
    return context


def _show(context: ssl.SSLContext, key: str, certificate: str) -> None:
    """Gives the context what it shows to callers. It reads files only: one that is in no folder."""
    handle = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(handle, f"{key}\n{certificate}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _check(path: str, field: str, text: str, pattern: re.Pattern[str]) -> None:
    if not pattern.search(text):
        raise UsageError(
            f"{path}: {field} must hold a PEM text (-----BEGIN ...), not a path to one"
            + ("" if text else "; it is empty")
        )


def _place(error: Exception) -> str:
    """Line and column alone: a parser's message quotes the text, which may be the private key."""
    found = re.match(r"\d+:\d+", str(error))
    return f"no SSLConfig at {found[0]} (line:column)" if found else "no SSLConfig in UTF-8"
