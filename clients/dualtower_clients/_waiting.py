"""Waiting for models to become available: what is asked next, and what was seen. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable

from dualtower_clients import _given, _operations
from dualtower_clients._operations import Operation
from dualtower_clients.errors import ClientError, DeadlineExceeded, TlsError
from dualtower_clients.results import VersionStatus

__all__ = ["POLL_S", "Waiting"]

POLL_S = 0.1
_ASK_S = 2.0  # of a single question, so that a server that hangs is asked anew
_DOUBT_S = 5.0  # longer than gRPC pauses between two attempts to connect, see `_connection`


class Waiting:
    """The models that are still waited for, the first one being asked.

    Args:
        models: by name; each has to be available once.
        address: named in the error.
        timeout_s: for all of them.

    Raises:
        UsageError: the models are no list of names, or the time is none.
    """

    def __init__(self, models: Iterable[str], *, address: str, timeout_s: float) -> None:
        self._models = _given.texts(models, "wait_until_available")
        timeout_s = _given.seconds(timeout_s, "timeout_s")
        self._address = address
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._seen = "no answer"
        self._doubted_until: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether every model has been seen available."""
        return not self._models

    def question(self) -> tuple[Operation[tuple[VersionStatus, ...]], float]:
        """The next status call, and its deadline in seconds.

        Raises:
            DeadlineExceeded: the time is over; the message says what was seen.
        """
        model, left_s = self._models[0], self._deadline - time.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded(
                f"{model!r} at {self._address} is not available after {self._timeout_s:g} s "
                f"(last seen: {self._seen}); read the server's log",
                address=self._address,
                model=model,
            )
        return _operations.status(model, version=None), min(left_s, _ASK_S)

    def saw(self, versions: tuple[VersionStatus, ...]) -> bool:
        """Takes an answer in; returns whether the next question can follow at once."""
        if any(one.state == "AVAILABLE" for one in versions):
            self._models.pop(0)
            self._seen = "no answer"
            return True
        self._seen = ", ".join(f"{one.version} {one.state}" for one in versions)
        return False

    def failed(self, error: ClientError) -> None:
        """Takes in that there was no answer."""
        self._seen = str(error)

    def named_tls(self, error: TlsError) -> None:
        """Takes in a connection that failed, by the words of the error because of TLS.

        Where gRPC was refused and a look at the server then found it to hang up, either is it so,
        or the server came up in between: the time that gRPC takes to try again tells.

        Raises:
            TlsError: it is so.
        """
        now = time.monotonic()
        if "connection refused" not in error.server_message.lower():
            raise error
        if self._doubted_until is None:
            self._doubted_until = now + _DOUBT_S
        elif now >= self._doubted_until:
            raise error
        self._seen = str(error)
