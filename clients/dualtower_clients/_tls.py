"""What went wrong with TLS, by gRPC's words and, where they say nothing, by asking the server.

gRPC ends all of these with UNAVAILABLE. A wrong certificate it describes. Of a server that wants
TLS, or a certificate of the client, it only says that no connection came about: there a look at
the server tells more.
"""

from __future__ import annotations

import re
import socket
import ssl
from enum import Enum

from dualtower_clients.settings import TlsSettings

__all__ = ["Look", "explain_handshake", "explain_look", "look_at"]

_STEP_S = 0.25  # to connect, to shake hands, to hear a first word: a server there answers at once
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
        "failed to create security handshaker",
        "a certificate or key of the client cannot be used",
        "compare them: PEM text, and a key that belongs to its certificate",
    ),
    (
        "handshake failed",
        "the TLS handshake failed",
        "compare the TLS settings of both ends",
    ),
)
_HOST_AND_PORT = re.compile(r"(?:dns:///?)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:/]+)):(?P<port>\d+)")
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"  # and empty SETTINGS


class Look(Enum):
    """How a server answers a TLS handshake without a certificate of the client."""

    NO_TLS = "nobody, or somebody who does not speak TLS"
    TLS = "it speaks TLS, and goes on"
    HANGS_UP = "it speaks TLS, and ends the connection"


def explain_handshake(details: str) -> tuple[str, str] | None:
    """What a failed handshake was about, and what to do; None where the text is of no handshake."""
    lower = details.lower()
    for text, explanation, next_step in _HANDSHAKE:
        if text in lower:
            return explanation, next_step
    return None


def explain_look(look: Look, tls: TlsSettings | None) -> tuple[str, str] | None:
    """Why no connection came about, and what to do; None where it is not about TLS."""
    if look is Look.NO_TLS:
        return None
    if tls is None:
        return (
            "the server wants TLS, and the connection is without",
            "give ChannelSettings(tls=TlsSettings(...))",
        )
    if look is Look.TLS:
        return None
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


def look_at(address: str, *, timeout_s: float) -> Look:
    """Asks the server at an address. It blocks, for `timeout_s` or three quarters of a second."""
    found = _HOST_AND_PORT.fullmatch(address)
    if found is None or timeout_s <= 0:
        return Look.NO_TLS
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent; the question is only who is there
    context.set_alpn_protocols(["h2"])
    where = (found["v6"] or found["host"], int(found["port"]))
    try:
        with (
            socket.create_connection(where, timeout=min(timeout_s / 3, _STEP_S)) as plain,
            context.wrap_socket(plain, server_hostname=where[0]) as secure,
        ):
            return _goes_on(secure)
    except ssl.SSLError as error:  # an alert is a TLS server's way to say no
        return Look.HANGS_UP if "ALERT" in (error.reason or "") else Look.NO_TLS
    except OSError:
        return Look.NO_TLS


def _goes_on(secure: ssl.SSLSocket) -> Look:
    try:
        secure.sendall(_HTTP2_PREFACE)
        return Look.TLS if secure.recv(1) else Look.HANGS_UP
    except TimeoutError:
        return Look.TLS
    except OSError:  # a reset, or an alert
        return Look.HANGS_UP
