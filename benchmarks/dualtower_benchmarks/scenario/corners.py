"""The corners of a sweep: what says in seconds whether all of it works, and about how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.scenario.case import Case

__all__ = ["corners"]

_MOST_S = 0.5
_MOST_WARMUP_S = 0.15
_OF_TIME = ("measured_s", "warmup_s")


def corners(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """A sweep with the ends of its lists of numbers, and half of its time, 0.5 s at most.

    Lists of words stay whole: none of them lies between two others.

    Args:
        sweep: a table [[sweep]] as it is read.
    """
    found = {key: _ends(value) for key, value in sweep.items() if key not in _OF_TIME}
    return {
        **found,
        "measured_s": min(_MOST_S, _least(sweep, "measured_s") / 2),
        "warmup_s": min(_MOST_WARMUP_S, _least(sweep, "warmup_s")),
    }


def _ends(value: Any) -> Any:
    numbers = isinstance(value, list) and all(
        isinstance(one, (int, float)) and not isinstance(one, bool) for one in value
    )
    return list(dict.fromkeys((min(value), max(value)))) if numbers and value else value


def _least(sweep: Mapping[str, Any], key: str) -> float:
    value = sweep.get(key, getattr(Case, key))
    return float(min(value) if isinstance(value, list) else value)
