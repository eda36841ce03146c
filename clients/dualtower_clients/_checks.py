"""Settings that cannot be are refused by name: what came, and what is allowed. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from dualtower.errors import UsageError

__all__ = [
    "MAX_INT32",
    "above",
    "at_most",
    "bytes_limit",
    "flag",
    "kind_of",
    "milliseconds",
    "one_of",
    "pairs",
    "whole",
    "within",
]

MAX_INT32 = (1 << 31) - 1  # what gRPC counts in


def above(name: str, value: Any, least: float) -> None:
    """A finite number above `least`."""
    if not _is_number(value) or not least < value < math.inf:
        raise UsageError(f"{name} must be more than {least:g}, got {value!r}")


def within(name: str, value: Any, low: float, high: float) -> None:
    """A number above `low`, and at most `high`."""
    if not _is_number(value) or not low < value <= high:
        raise UsageError(f"{name} must be above {low:g} and at most {high:g}, got {value!r}")


def whole(name: str, value: Any, least: int) -> None:
    """A whole number above `least`."""
    above(name, value, least)
    if not isinstance(value, (int, np.integer)):
        raise UsageError(f"{name} must be a whole number, got {value!r}")


def bytes_limit(name: str, value: Any) -> None:
    """A number of bytes that a message can have."""
    whole(name, value, 0)
    if value > MAX_INT32:
        raise UsageError(
            f"{name} must be at most {MAX_INT32}, the largest message of gRPC, got {value!r}; "
            "None is no limit"
        )


def milliseconds(name: str, value: Any) -> None:
    """A number of seconds that gRPC can count in milliseconds."""
    above(name, value, 0)
    if not 1 <= int(value * 1000) <= MAX_INT32:
        raise UsageError(
            f"{name} must be between 0.001 and {MAX_INT32 // 1000} seconds, got {value!r}"
        )


def at_most(name: str, value: float, other: str, most: float) -> None:
    """Not more than another setting."""
    if value > most:
        raise UsageError(f"{name} must be at most {other} ({most!r}), got {value!r}")


def one_of(name: str, value: Any, allowed: Collection[str]) -> None:
    """One of a few words."""
    if not isinstance(value, str) or value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


def flag(name: str, value: Any) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, got {value!r}")


def kind_of(name: str, value: Any, kind: type, *, or_none: bool = False) -> None:
    """A value of this type."""
    if not isinstance(value, kind) and not (or_none and value is None):
        allowed = f"{kind.__name__} or None" if or_none else kind.__name__
        raise UsageError(f"{name} must be {allowed}, got {value!r:.100}")


def pairs(name: str, value: Any) -> list[tuple[str, Any]]:
    """A list of pairs that begin with a text."""
    wanted = f"{name} must be a list of pairs (key, value), got {value!r:.100}"
    if isinstance(value, Mapping):
        raise UsageError(f"{wanted}; give its .items() as a list")
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise UsageError(wanted)
    for one in value:
        if not isinstance(one, Iterable) or isinstance(one, (str, bytes)):
            raise UsageError(wanted)
        if len(pair := tuple(one)) != 2 or not isinstance(pair[0], str):
            raise UsageError(wanted)
    return [(key, one) for key, one in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
