"""What the requests that are being answered may hold in memory, together. Pure."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["InFlight"]

_DEFAULT_BYTES = 2 << 30


class InFlight:
    """A limit on the bytes that requests hold at a time. Threads may share it.

    Args:
        limit_bytes: of all requests together; one alone may always hold as much.

    Example:
        >>> limit = InFlight(100)
        >>> with limit.hold(60):
        ...     limit.held_bytes
        60
    """

    def __init__(self, limit_bytes: int = _DEFAULT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Counts these bytes while the block runs.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, others hold too much for this to fit in.
        """
        with self._lock:
            if self.held_bytes and self.held_bytes + size_bytes > self.limit_bytes:
                raise StatusError(
                    Code.RESOURCE_EXHAUSTED,
                    f"requests that are being answered hold {self.held_bytes} bytes; "
                    f"{size_bytes} more would exceed the limit of {self.limit_bytes}; "
                    "try again, or raise --max_in_flight_bytes",
                )
            self.held_bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self.held_bytes -= size_bytes
