"""The error that a call ends with, once no further attempt is made."""

from __future__ import annotations

from dualtower_clients import _tls
from dualtower_clients._calls import CallFacts, Outcome, error_of, worded
from dualtower_clients.errors import ClientError, TlsError
from dualtower_clients.settings import TlsSettings

__all__ = ["failure_of", "may_block"]


def may_block(outcome: Outcome) -> bool:
    """Whether `failure_of` asks the server what it speaks."""
    return _tls.is_hang_up(outcome.details)


def failure_of(
    outcome: Outcome, facts: CallFacts, tls: TlsSettings | None, *, left_s: float
) -> ClientError:
    """The named error of a call's last attempt.

    Args:
        outcome: of the last attempt, not a good one.
        facts: that the error names.
        tls: of the connection.
        left_s: of the call's time, for a look at who hung up.
    """
    if may_block(outcome):
        said = _tls.explain_hang_up(tls, facts.address, timeout_s=left_s)
        if said is not None:
            return worded(TlsError, *said, outcome.code, outcome.details, facts)
    return error_of(outcome.code, outcome.details, facts)
