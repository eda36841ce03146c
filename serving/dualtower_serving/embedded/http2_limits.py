"""What a peer of HTTP/2 may cost, in memory and in time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Http2Limits"]


@dataclass(frozen=True)
class Http2Limits:
    """What a peer may cost.

    Attributes:
        streams: of one connection at a time; its client waits with further ones.
        header_bytes: of one stream, packed and unpacked.
        connections: at a time; more are closed as they come.
        handshake_timeout_s: until TLS and the settings of the peer are through.
        message_timeout_s: for the next bytes of a stream that is not complete.
        send_timeout_s: for a peer that does not read its answer.
        max_age_s: after which a connection is asked to end; None: never.
        max_age_grace_s: what calls may take from then on; None: as long as they like.
        max_idle_s: without a stream, after which likewise; None: never.
        keepalive_s: without a byte, after which the peer is asked whether it lives; None: never.
        keepalive_timeout_s: that it may take to answer.
    """

    streams: int = 1000
    header_bytes: int = 16 * 1024
    connections: int = 1 << 30
    handshake_timeout_s: float = 20.0
    message_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    max_age_s: float | None = None
    max_age_grace_s: float | None = None
    max_idle_s: float | None = None
    keepalive_s: float | None = None
    keepalive_timeout_s: float = 20.0

    @property
    def watches_idle(self) -> bool:
        """Whether a connection that does nothing has to be looked at."""
        return not (self.max_age_s is self.max_idle_s is self.keepalive_s is None)

    @property
    def look_s(self) -> float:
        """How often a connection is looked at; that late a limit may take effect."""
        limits = (
            self.handshake_timeout_s,
            self.message_timeout_s,
            self.send_timeout_s,
            self.max_age_s,
            self.max_idle_s,
            self.keepalive_s,
            self.keepalive_timeout_s,
        )
        return min(limit for limit in limits if limit is not None) / 4

    def is_over(self, age_s: float, idle_s: float | None) -> bool:
        """Whether a connection of this age, idle for so long, is to end."""
        return (self.max_age_s is not None and age_s > self.max_age_s) or (
            self.max_idle_s is not None and idle_s is not None and idle_s > self.max_idle_s
        )
