"""What the REST front takes from the flags, and what it allows a caller to cost."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from dualtower.errors import UsageError

__all__ = ["RestLimits", "RestSettings"]


@dataclass(frozen=True)
class RestLimits:
    """Bounds for what comes from outside. Beyond one a request is refused, never the server hurt.

    Attributes:
        header_bytes: request line and headers.
        body_bytes: of one request, as sent and as unpacked from gzip.
        total_body_bytes: of all requests that are read or worked on at a time.
        json_values: values in one body; a list of many small ones needs 20 times its text.
        header_timeout_s: from the first byte of a request to the end of its headers.
        body_timeout_s: from there to the end of the body, on top of what
            `body_bytes_per_s` grants: a large body may take longer, a trickle may not.
        body_bytes_per_s: the slowest sender that is waited for.
        idle_timeout_s: between two requests; longer than load balancers keep a connection.
        send_timeout_s: for a caller that does not read its answer.
        connections: open at a time, less if the process may not open as many files.
        inline_body_bytes: bodies up to this are decoded on the loop, larger ones in a thread.
    """

    header_bytes: int = 64 * 1024
    body_bytes: int = 64 << 20
    total_body_bytes: int = 256 << 20
    json_values: int = 10_000_000
    header_timeout_s: float = 20.0
    body_timeout_s: float = 30.0
    body_bytes_per_s: int = 16 * 1024
    idle_timeout_s: float = 300.0
    send_timeout_s: float = 60.0
    connections: int = 20_000
    inline_body_bytes: int = 32 * 1024

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) <= 0:
                raise UsageError(f"{one.name} must be positive, got {getattr(self, one.name)}")


@dataclass(frozen=True)
class RestSettings:
    """How to answer.

    Attributes:
        timeout_ms: --rest_api_timeout_in_ms; 0 or less: none.
        threads: --rest_api_num_threads, here the threads that decode and encode large bodies.
        cors: --rest_api_enable_cors_support.
        metrics_path: where Prometheus reads; None: nowhere.
        host: the address to listen on.
        limits: see `RestLimits`.
    """

    timeout_ms: int = 30_000
    threads: int = 2
    cors: bool = False
    metrics_path: str | None = None
    host: str = "0.0.0.0"
    limits: RestLimits = field(default_factory=RestLimits)
