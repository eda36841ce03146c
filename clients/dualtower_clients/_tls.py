"""What went wrong with TLS, by gRPC's words and, where they say nothing, by asking the server.

gRPC ends all of these with UNAVAILABLE. A wrong certificate it describes; where the other end hangs
up it only says so, and that is how a server that wants TLS, or a client's certificate, looks.
"""

from __future__ import annotations

import re
import socket
import ssl

from dualtower_clients.settings import TlsSettings

__all__ = ["explain_handshake", "explain_hang_up", "is_hang_up", "speaks_tls"]

_PROBE_S = 0.5  # a server that speaks TLS answers at once
# (text in lower case, explanation, what to do), of the ends' handshake; the first that is found
_HANDSHAKE = (
    (
        "wrong_version_number",
        "the server does not speak TLS",
        "leave out tls, or name the port that has it",
    ),
    (
        "hostname verification",
        "the server's certificate is for another host name",
        "use the name that it carries as the address, or give it as TlsSettings(host_name=...)",
    ),
    (
        "not in peer certificate",
        "the server's certificate is for another host name",
        "use the name that it carries as the address, or give it as TlsSettings(host_name=...)",
    ),
    (
        "has expired",
        "the server's certificate has expired",
        "give the server a new one, and compare the clocks of both machines",
    ),
    (
        "certificate_verify_failed",
        "the server's certificate is signed by an authority that is not trusted",
        "give that authority's certificate as TlsSettings(root_certificates=...)",
    ),
    (
        "handshake failed",
        "the TLS handshake failed",
        "compare the TLS settings of both ends",
    ),
)
_HUNG_UP = re.compile(r"failed to connect.*(socket closed|connection reset|broken pipe)", re.I)
_HOST_AND_PORT = re.compile(r"(?:dns:///?)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:/]+)):(?P<port>\d+)")


def explain_handshake(details: str) -> tuple[str, str] | None:
    """What a failed handshake was about, and what to do; None where the text is of no handshake."""
    lower = details.lower()
    for text, explanation, next_step in _HANDSHAKE:
        if text in lower:
            return explanation, next_step
    return None


def is_hang_up(details: str) -> bool:
    """Whether somebody listens, but ended the connection before a word of gRPC."""
    return _HUNG_UP.search(details) is not None


def explain_hang_up(
    tls: TlsSettings | None, address: str, *, timeout_s: float
) -> tuple[str, str] | None:
    """Why a server may have hung up, and what to do; None where it is not about TLS.

    Of a plain connection it asks the server, and blocks for `timeout_s` or half a second at most.
    """
    if tls is None:
        if not speaks_tls(address, timeout_s=min(timeout_s, _PROBE_S)):
            return None
        return (
            "the server wants TLS, and the connection is without",
            "give ChannelSettings(tls=TlsSettings(...))",
        )
    if tls.client_certificate is None:
        return (
            "the server hangs up after the TLS handshake; most likely it wants a certificate of "
            "the client",
            "give TlsSettings(client_certificate=..., client_key=...)",
        )
    return (
        "the server hangs up after the TLS handshake; most likely it does not accept the client's "
        "certificate",
        "give one that is signed by an authority which the server trusts, and has not expired",
    )


def speaks_tls(address: str, *, timeout_s: float) -> bool:
    """Whether a TLS server answers there within the time."""
    found = _HOST_AND_PORT.fullmatch(address)
    if found is None or timeout_s <= 0:
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent; the question is only who is there
    context.set_alpn_protocols(["h2"])
    where = (found["v6"] or found["host"], int(found["port"]))
    try:
        with (
            socket.create_connection(where, timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=where[0]),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # a TLS server's way to say no
    except OSError:
        return False
