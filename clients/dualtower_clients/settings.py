"""How a client connects, and what it does when a call is slow or fails. Frozen values, no I/O.

    ChannelSettings     TlsSettings, token, metadata, compression, keep-alive, limits, interceptors
    CallPolicy          RetryPolicy, HedgePolicy, BalancePolicy

Every default stands here, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dualtower.errors import UsageError
from dualtower_clients import _checks

__all__ = [
    "DEFAULT_POLICY",
    "DEFAULT_SETTINGS",
    "DEFAULT_TIMEOUT_S",
    "BalancePolicy",
    "CallPolicy",
    "ChannelSettings",
    "HedgePolicy",
    "Metadata",
    "RetryPolicy",
    "TlsSettings",
    "check_metadata",
]

DEFAULT_TIMEOUT_S = 10.0

Metadata = Sequence[tuple[str, "str | bytes"]]

_COMPRESSIONS = ("none", "gzip", "deflate")
_PICKS = ("least_outstanding", "round_robin")


@dataclass(frozen=True)
class TlsSettings:
    """Whom the client trusts, and who it says it is. All certificates and keys are PEM, as bytes.

    Attributes:
        root_certificates: of the authorities that may have signed the server's certificate;
            None trusts those that gRPC brings along, which are the public ones.
        client_certificate: the client's own chain, for servers that ask for one (mutual TLS).
        client_key: the private key of `client_certificate`.
        host_name: what the server's certificate has to name, where that is not the address.
    """

    root_certificates: bytes | None = None
    client_certificate: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    host_name: str | None = None

    def __post_init__(self) -> None:
        _checks.kind_of("host_name", self.host_name, str, or_none=True)
        if (self.client_certificate is None) != (self.client_key is None):
            raise UsageError("give client_certificate and client_key together, or neither")
        for name in ("root_certificates", "client_certificate", "client_key"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, bytes) and b"-----BEGIN" in value):
                raise UsageError(
                    f"{name} must hold PEM text, as bytes, which begins with -----BEGIN; "
                    "read a file with TlsSettings.from_files"
                )

    @classmethod
    def from_files(
        cls,
        *,
        root_certificates: str | Path | None = None,
        client_certificate: str | Path | None = None,
        client_key: str | Path | None = None,
        host_name: str | None = None,
    ) -> TlsSettings:
        """As the constructor, from the paths of PEM files.

        Raises:
            UsageError: a file cannot be read, or is no PEM file.
        """
        return cls(
            root_certificates=_read(root_certificates),
            client_certificate=_read(client_certificate),
            client_key=_read(client_key),
            host_name=host_name,
        )


@dataclass(frozen=True)
class ChannelSettings:
    """How a client connects to each of its addresses.

    Attributes:
        tls: None connects without TLS.
        token: sent as "authorization: Bearer TOKEN" with each attempt; a callable is asked each
            time, so that it can renew the token (it has to be quick and to keep what is valid).
        send_token_without_tls: a token on a plain connection can be read on the way, so that
            without this it is an error.
        metadata: pairs that go with each call; values of keys that end in "-bin" are bytes.
        compression: of requests; "none", since vectors hardly shrink. Texts do, where the network
            is slow.
        keep_alive_s: sends a ping on a connection that was silent for so long, so that a dead one
            is noticed. None, because servers end connections that ping more often than they allow
            (gRPC's own limit is once in 300 s without calls).
        keep_alive_timeout_s: a ping that is not answered for so long ends the connection.
        max_send_bytes, max_receive_bytes: of one message; None is no limit. gRPC's own limit for
            received messages, 4 MiB, is 2,730 embeddings of 384 floats.
        interceptors: gRPC's client interceptors, the first one outermost; those of `grpc` for
            `ServingClient`, those of `grpc.aio` for `AsyncServingClient`. They see each attempt.
        telemetry: a span of OpenTelemetry for each call, passed on to the server. Needs the
            package opentelemetry-api.
        options: further channel arguments of gRPC, which win over those made of the above.
    """

    tls: TlsSettings | None = None
    token: str | Callable[[], str] | None = field(default=None, repr=False)
    send_token_without_tls: bool = False
    metadata: Metadata = ()
    compression: Literal["none", "gzip", "deflate"] = "none"
    keep_alive_s: float | None = None
    keep_alive_timeout_s: float = 10.0
    max_send_bytes: int | None = None
    max_receive_bytes: int | None = None
    interceptors: Sequence[Any] = ()
    telemetry: bool = False
    options: Sequence[tuple[str, Any]] = ()

    def __post_init__(self) -> None:
        _checks.kind_of("tls", self.tls, TlsSettings, or_none=True)
        if not (self.token is None or isinstance(self.token, str) or callable(self.token)):
            kind = type(self.token).__name__  # the token itself is a secret
            raise UsageError(f"token must be a text, a callable or None, got one of {kind}")
        _checks.flag("send_token_without_tls", self.send_token_without_tls)
        if self.token is not None and self.tls is None and not self.send_token_without_tls:
            raise UsageError(
                "a token would go over a connection without TLS, where it can be read; give "
                "tls=TlsSettings(...), or say send_token_without_tls=True"
            )
        check_metadata(self.metadata)
        _checks.one_of("compression", self.compression, _COMPRESSIONS)
        if self.keep_alive_s is not None:
            _checks.milliseconds("keep_alive_s", self.keep_alive_s)
        _checks.milliseconds("keep_alive_timeout_s", self.keep_alive_timeout_s)
        for name in ("max_send_bytes", "max_receive_bytes"):
            if getattr(self, name) is not None:
                _checks.bytes_limit(name, getattr(self, name))
        _checks.kind_of("interceptors", self.interceptors, Sequence)
        _checks.flag("telemetry", self.telemetry)
        for name, value in _checks.pairs("options", self.options):
            if isinstance(value, int) and not -_checks.MAX_INT32 <= value <= _checks.MAX_INT32:
                raise UsageError(f"option {name!r} must fit into 32 bits, got {value!r}")


@dataclass(frozen=True)
class RetryPolicy:
    """When a call that failed is sent again: what is safe to repeat, and only if it may help.

    Sent again is what the server never began or may do twice: after a lost connection, and when
    the server says that it is full. A reload never is. Of several addresses one that was not asked
    yet comes first, and at once; otherwise there is a pause.

    Attributes:
        max_attempts: the first one included.
        initial_pause_s: before the second attempt; each further pause is twice as long. The
            moment is drawn between half of it and all of it, so that clients do not come at once.
        max_pause_s: the longest pause.
        attempt_timeout_s: of a single attempt; an attempt that takes longer is given up and counts
            as failed. None: an attempt may take all that is left of the call's time.
        throttle_ratio: how much of a retry each success pays for. While failures outweigh that,
            nothing is sent again to an address that was asked, so that retries do not keep an
            overloaded server down. (gRPC's retry throttling,
            https://github.com/grpc/proposal/blob/master/A6-client-retries.md)
    """

    max_attempts: int = 3
    initial_pause_s: float = 0.1
    max_pause_s: float = 1.0
    attempt_timeout_s: float | None = None
    throttle_ratio: float = 0.1

    def __post_init__(self) -> None:
        _checks.whole("max_attempts", self.max_attempts, 0)
        _checks.above("initial_pause_s", self.initial_pause_s, 0)
        _checks.above("max_pause_s", self.max_pause_s, 0)
        _checks.at_most("initial_pause_s", self.initial_pause_s, "max_pause_s", self.max_pause_s)
        if self.attempt_timeout_s is not None:
            _checks.above("attempt_timeout_s", self.attempt_timeout_s, 0)
        _checks.within("throttle_ratio", self.throttle_ratio, 0, 1)


@dataclass(frozen=True)
class HedgePolicy:
    """When a slow call is sent a second time, while the first one goes on. The first answer wins.

    It is sent when the first attempt has taken longer than calls of its method and model usually
    do, to another address where there are several, and the loser is cancelled. A server's tail
    becomes shorter, for a few more calls (Dean and Barroso, The Tail at Scale, 2013).

    Attributes:
        percentile: of the latencies observed, which the first attempt has to exceed.
        min_observations: of a method, model and address, before any hedge is sent.
        window: how many of the last latencies count.
        max_extra: hedges as a share of the calls; a few more are allowed in a row.
    """

    percentile: float = 95.0
    min_observations: int = 20
    window: int = 500
    max_extra: float = 0.1

    def __post_init__(self) -> None:
        _checks.within("percentile", self.percentile, 0, 100)
        _checks.whole("min_observations", self.min_observations, 0)
        _checks.whole("window", self.window, 0)
        if self.window < self.min_observations:
            raise UsageError(
                f"window must be at least min_observations ({self.min_observations}), "
                f"got {self.window}"
            )
        _checks.within("max_extra", self.max_extra, 0, 1)


@dataclass(frozen=True)
class BalancePolicy:
    """Which of several addresses is asked, and when one is left alone. Of one address, nothing.

    Attributes:
        pick: "least_outstanding" draws two and takes the one with fewer calls under way;
            "round_robin" takes them in turn.
        eject_after: failures in a row, after which an address gets no calls for a while: no
            connection, no answer in time, an internal failure, or a hedge that overtook it. Never
            more than half of the addresses.
        eject_s: how long, the first time; twice as long each further time. Then a single call
            tries whether it answers again.
        max_eject_s: the longest time; who behaved for so long begins anew.
    """

    pick: Literal["least_outstanding", "round_robin"] = "least_outstanding"
    eject_after: int = 5
    eject_s: float = 1.0
    max_eject_s: float = 60.0

    def __post_init__(self) -> None:
        _checks.one_of("pick", self.pick, _PICKS)
        _checks.whole("eject_after", self.eject_after, 0)
        _checks.above("eject_s", self.eject_s, 0)
        _checks.above("max_eject_s", self.max_eject_s, 0)
        _checks.at_most("eject_s", self.eject_s, "max_eject_s", self.max_eject_s)


@dataclass(frozen=True)
class CallPolicy:
    """What happens to a call that is slow or fails.

    Attributes:
        retry: None sends nothing again.
        hedge: None, the default, sends nothing twice.
        balance: among several addresses.
    """

    retry: RetryPolicy | None = field(default_factory=RetryPolicy)
    hedge: HedgePolicy | None = None
    balance: BalancePolicy = field(default_factory=BalancePolicy)

    def __post_init__(self) -> None:
        _checks.kind_of("retry", self.retry, RetryPolicy, or_none=True)
        _checks.kind_of("hedge", self.hedge, HedgePolicy, or_none=True)
        _checks.kind_of("balance", self.balance, BalancePolicy)


_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def check_metadata(metadata: Metadata) -> None:
    """Refuses pairs that gRPC would refuse in the middle of a call.

    Raises:
        UsageError: a key or a value cannot be sent.
    """
    for key, value in _checks.pairs("metadata", metadata):
        wanted = bytes if key.endswith("-bin") else str
        if not isinstance(value, wanted):
            raise UsageError(
                f"metadata {key!r} must be {wanted.__name__}, got {value!r}; values of keys that "
                "end in '-bin' are bytes, all others text"
            )
        if not key or key != key.lower() or not set(key) <= _KEY_CHARACTERS:
            raise UsageError(
                f"metadata {key!r} is no key: lower-case letters, digits, '-', '_' and '.' are"
            )
        if isinstance(value, str) and not all(" " <= character <= "~" for character in value):
            raise UsageError(
                f"metadata {key!r} must be printable ASCII, got {value!r}; give other text as "
                f"bytes under '{key}-bin'"
            )


def _read(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


DEFAULT_SETTINGS = ChannelSettings()
DEFAULT_POLICY = CallPolicy()
