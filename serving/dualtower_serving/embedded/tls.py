"""`--ssl_config_file`: TLS for gRPC, with certificates of clients where they are asked for.

The file is TensorFlow Serving's SSLConfig in protobuf's text format, with the PEM texts themselves.
"""

from __future__ import annotations

import re

import grpc
from google.protobuf import text_format

from dualtower.errors import UsageError
from dualtower_clients.proto import server_config_pb2

__all__ = ["read_credentials"]

_KEY = re.compile(r"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----.+-----END", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+-----END", re.DOTALL)


def read_credentials(path: str) -> grpc.ServerCredentials:
    """The credentials that the file describes.

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
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


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
