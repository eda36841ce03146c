"""How numbers are written for people: units, digits, and a dash where there is none."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "DASH",
    "NBSP",
    "bounds",
    "count",
    "duration",
    "estimate",
    "is_estimate",
    "megabytes",
    "milliseconds",
    "moment",
    "number",
    "percent",
    "plain",
    "share",
    "with_error",
    "words",
]

DASH = "–"
NBSP = "\u00a0"


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent for what people meet: 0.0312, 12.4, 1,240."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 <= exponent < 9:
        return f"{value:.{digits - 1}e}"
    return f"{round(value, digits - 1 - exponent):,.{max(0, digits - 1 - exponent)}f}"


def count(value: float | None) -> str:
    """A whole number with thousands separated."""
    return DASH if value is None else f"{int(value):,}"


def share(value: float | None) -> str:
    """A metric between 0 and 1 with three decimals."""
    return DASH if value is None or not math.isfinite(value) else f"{value:.3f}"


def is_estimate(value: Any) -> bool:
    """Whether this is a metric with a standard error."""
    return isinstance(value, Mapping) and isinstance(value.get("value"), (int, float))


def estimate(value: Any) -> str:
    """A metric with its standard error, both to the same digit: 0.1310 ± 0.0045."""
    if not is_estimate(value):
        return share(value) if isinstance(value, (int, float)) else DASH
    text, error = with_error(value)
    return f"{text}{NBSP}±{NBSP}{error}" if error else text


def with_error(value: Mapping[str, Any]) -> tuple[str, str]:
    """The parts of `estimate`: as many decimals as two digits of the error need, 3 or 4."""
    error = value.get("se")
    if error is None or not math.isfinite(error):
        return share(value["value"]), ""
    decimals = 4 if error < 0.01 else 3
    return f"{value['value']:.{decimals}f}", f"{error:.{decimals}f}"


def milliseconds(interval: Mapping[str, float] | None) -> str:
    """The value of a percentile, without its interval."""
    return DASH if interval is None else number(interval["value"])


def bounds(interval: Mapping[str, float] | None) -> str:
    """The interval of a percentile: 7.2–7.9."""
    return "" if interval is None else f"{number(interval['low'])}–{number(interval['high'])}"


def percent(part: float | None) -> str:
    """A share as a percentage."""
    return DASH if part is None else f"{100 * part:.3g}{NBSP}%"


def megabytes(size_bytes: float | None) -> str:
    """Decimal megabytes with a unit."""
    return DASH if size_bytes is None else f"{number(size_bytes / 1e6)}{NBSP}MB"


def duration(seconds: float | None) -> str:
    """Seconds below two minutes, else minutes and seconds."""
    if seconds is None:
        return DASH
    if seconds < 120:
        return f"{number(seconds)}{NBSP}s"
    return f"{int(seconds // 60)}{NBSP}min {int(seconds % 60)}{NBSP}s"


def plain(value: Any) -> str:
    """Any JSON value as a reader would write it."""
    if value is None:
        return "not readable"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(entry) for entry in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{words(key)} {plain(entry)}" for key, entry in value.items())
    return moment(value) if isinstance(value, str) else str(value)


def moment(iso: str) -> str:
    """An ISO instant to the minute, 2026-11-30 10:05 UTC; other text as it is."""
    try:
        instant = datetime.datetime.fromisoformat(iso.replace("Z", "+00:00"))
    except ValueError:
        return iso
    if instant.tzinfo is None:
        return iso
    return f"{instant:%Y-%m-%d}{NBSP}{instant:%H:%M}{NBSP}{instant.tzname()}"


def words(key: Any) -> str:
    """A JSON key as words."""
    return str(key).replace("_", " ")
