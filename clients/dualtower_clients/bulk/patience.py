"""How long a server that is lost, busy or slow is asked again."""

from __future__ import annotations

import random
import time

from dualtower_clients.errors import RetryableError

__all__ = ["Patience"]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_MAX_DOUBLINGS = 10


class Patience:
    """Shared by all requests of a run: what ends it is that none of them is answered.

    Args:
        patience_s: since the last answer.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_ns = int(patience_s * 1e9)
        self._answered_ns = time.monotonic_ns()

    @property
    def is_over(self) -> bool:
        """Whether no request was answered for too long."""
        return time.monotonic_ns() - self._answered_ns > self._patience_ns

    def answered(self) -> None:
        """A request was answered."""
        self._answered_ns = time.monotonic_ns()

    def pause_s(self, error: RetryableError, failures: int) -> float:
        """How long to wait before a request that has failed so often in a row is sent again.

        Raises:
            RetryableError: `error`, if no request was answered for too long.
        """
        if self.is_over:
            raise error
        longest_s = _FIRST_PAUSE_S * 2 ** min(failures - 1, _MAX_DOUBLINGS)
        longest_s = min(longest_s, _LONGEST_PAUSE_S)
        return random.uniform(longest_s / 2, longest_s)  # so that they do not come all at once
