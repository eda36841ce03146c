"""The error that a call ends with, once no further attempt is made."""

from __future__ import annotations

import time

import grpc

from dualtower_clients import _tls
from dualtower_clients._calls import CallFacts, Outcome, error_of, worded
from dualtower_clients._tls import Look
from dualtower_clients.errors import ClientError, TlsError
from dualtower_clients.settings import TlsSettings

__all__ = ["Failures"]

_NOT_CONNECTED = "failed to connect"
_FRESH_S = 5.0  # an address is looked at once in so long, however many calls fail meanwhile


class Failures:
    """Names the failures of one client. Threads may share it.

    Args:
        tls: of its connections.
    """

    def __init__(self, tls: TlsSettings | None) -> None:
        self._tls = tls
        self._looks: dict[str, tuple[float, Look]] = {}  # by address: when, and what was seen

    def may_block(self, outcome: Outcome, facts: CallFacts) -> bool:
        """Whether `named` is going to look at the server."""
        if outcome.code is not grpc.StatusCode.UNAVAILABLE or _NOT_CONNECTED not in outcome.details:
            return False
        when, _ = self._looks.get(facts.address, (-_FRESH_S, Look.NO_TLS))
        return time.monotonic() - when >= _FRESH_S

    def named(self, outcome: Outcome, facts: CallFacts, *, left_s: float) -> ClientError:
        """The error of a call's last attempt.

        Args:
            outcome: of that attempt, not a good one.
            facts: that the error names.
            left_s: of the call's time, for a look at a server that takes no connection.
        """
        error = error_of(outcome.code, outcome.details, facts)
        if isinstance(error, TlsError) or _NOT_CONNECTED not in outcome.details:
            return error
        if self.may_block(outcome, facts):
            self._looks[facts.address] = (time.monotonic(), Look.NO_TLS)  # nobody else looks now
            look = _tls.look_at(facts.address, timeout_s=left_s)
            self._looks[facts.address] = (time.monotonic(), look)
        _, look = self._looks.get(facts.address, (0.0, Look.NO_TLS))
        said = _tls.explain_look(look, self._tls)
        return worded(TlsError, *said, outcome.code, outcome.details, facts) if said else error
