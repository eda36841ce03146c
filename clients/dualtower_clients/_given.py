"""What callers give, as plain lists of strings and numbers, or an error that names what came. Pure.

Anything that holds strings in an order does: a list, a tuple, a generator, an array of numpy, a
column of pandas. A set does where order means nothing. Bytes are read as UTF-8.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dualtower.errors import UsageError

__all__ = ["above_zero", "count", "exclusions", "histories", "seconds", "texts"]

_SHOWN_CHARACTERS = 80
_NUMBERS = (int, float, np.integer, np.floating)
_LONGEST_S = 365 * 86_400.0


def texts(given: Any, what: str) -> list[str]:
    """A list of texts, of which `what` says where they were given.

    Raises:
        UsageError: it is none.
    """
    return [_text(one, what, place) for place, one in enumerate(_row(given, what, "texts"))]


def histories(given: Any) -> list[list[str]]:
    """A list of strings for each history."""
    rows = _row(given, "histories", "lists")
    return [_strings(row, "a history", is_ordered=True) for row in rows]


def exclusions(given: Any, rows: int) -> list[list[str]]:
    """What each of the histories excludes; None excludes nothing."""
    if given is None:
        return [[] for _ in range(rows)]
    found = [
        [] if row is None else _strings(row, "exclude", is_ordered=False)
        for row in _row(given, "exclude", "lists")
    ]
    if len(found) != rows:
        raise UsageError(f"exclude has {len(found)} lists for {rows} histories; give one each")
    return found


def count(given: Any, what: str) -> int:
    """A whole number."""
    try:
        if isinstance(given, bool):
            raise TypeError
        return operator.index(given)
    except TypeError:
        raise UsageError(f"{what} must be a whole number, got {_shown(given)}") from None


def seconds(given: Any, what: str) -> float:
    """A time. A longer one than a year is a year, since gRPC's clock has an end."""
    if not isinstance(given, _NUMBERS) or not -math.inf < given < math.inf:
        raise UsageError(f"{what} must be a number of seconds, got {_shown(given)}")
    return float(min(given, _LONGEST_S))


def above_zero(given: Any, what: str) -> float:
    """A time that a call can need."""
    found = seconds(given, what)
    if found <= 0:
        raise UsageError(f"{what} must be above 0 s, got {_shown(given)}")
    return found


def _strings(given: Any, what: str, *, is_ordered: bool) -> list[str]:
    row = _row(given, what, "strings", is_ordered=is_ordered)
    return [_text(one, what, place) for place, one in enumerate(row)]


def _row(given: Any, what: str, of: str, *, is_ordered: bool = True) -> list[Any]:
    verb = "is" if what.startswith("a ") or what == "exclude" else "takes"
    wanted = f"{what} {verb} a list of {of}"
    if isinstance(given, (str, bytes)):
        raise UsageError(f"{wanted}, got the string {_shown(given)}")
    if isinstance(given, (set, frozenset)) and is_ordered:
        raise UsageError(f"{wanted}, got a set, which has no order; give a list of it")
    if isinstance(given, Mapping):
        raise UsageError(f"{wanted}, got the mapping {_shown(given)}; give its keys or its values")
    if hasattr(given, "columns"):  # of pandas; it would give the names of its columns
        raise UsageError(f"{wanted}, got a table; give one of its columns")
    if not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        raise UsageError(f"{wanted}, got {_shown(given)}")
    return list(given)


def _text(given: Any, what: str, place: int) -> str:
    where = f"entry {place} of {what}"
    if isinstance(given, bytes):
        try:
            return given.decode()
        except UnicodeDecodeError:
            raise UsageError(f"{where} is no UTF-8: {_shown(given)}; decode it first") from None
    if not isinstance(given, str):
        raise UsageError(f"{where} must be a string, got {_shown(given)}")
    if not given.isascii():
        try:
            given.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{where} holds half of a surrogate pair, which UTF-8 has no bytes for: "
                f"{_shown(given)}; repair it, as by .encode('utf-8', 'replace').decode()"
            ) from None
    return given


def _shown(given: Any) -> str:
    shown = repr(given)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."
