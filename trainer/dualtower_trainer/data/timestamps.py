"""Times as they stand in files, read as whole seconds UTC.

| written as | read as |
| --- | --- |
| a number below 4,102,444,800 (the year 2100) | seconds since 1970, fractions cut |
| a number of 12 to 13 / 15 to 16 / 18 to 19 digits | milli-, micro-, nanoseconds since 1970 |
| `2017-12-31`, `2017-12-31 18:05`, `2017-12-31T18:05:59.123Z`, `…+01:00` | ISO 8601 |

A time without a zone is UTC. Times before 1970 and from 2100 on are refused: they are mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache

__all__ = ["END_S", "iso_utc", "parse_timestamp", "timestamp_parser"]

END_S = 4_102_444_800  # 2100-01-01
_FINER = (1_000, 1_000_000, 1_000_000_000)
_FINER_FROM_S = 100_000_000  # 1973: the smallest number taken as milliseconds is 10^11
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?)?"
    r" ?(Z|z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


def parse_timestamp(text: str) -> int:
    """Seconds UTC of a number or an ISO 8601 time.

    Raises:
        ValueError: it is neither, or not in [1970, 2100).

    >>> parse_timestamp("1512000000"), parse_timestamp("1512000000000")
    (1512000000, 1512000000)
    >>> parse_timestamp("2017-11-30T01:00:00+01:00")
    1512000000
    """
    if text.isdecimal() and text.isascii():
        return _from_number(int(text))
    matched = _ISO.fullmatch(text)
    if matched is None:
        if "_" in text:  # Python's float() would take 1_000
            raise ValueError(f"no time: {text!r}")
        value = float(text)
        if not abs(value) < 1e19:  # also refuses nan
            raise ValueError(f"no time: {text!r}")
        return _from_number(int(value // 1))
    year, month, day, hour, minute, second = (int(part or 0) for part in matched.groups()[:6])
    zone = matched[7]
    offset = timedelta()
    if zone and zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        offset = -offset if zone[0] == "-" else offset
    moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    return _in_range(int(moment.timestamp() - offset.total_seconds()))


def timestamp_parser(pattern: str | None) -> Callable[[str], int]:
    """A function like `parse_timestamp`, for times written after a `strptime` pattern."""
    if pattern is None:
        return parse_timestamp

    @lru_cache(maxsize=1 << 16)  # strptime is slow, and the rows of one basket share a time
    def parse(text: str) -> int:
        moment = datetime.strptime(text, pattern)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return _in_range(int(moment.timestamp()))

    return parse


def iso_utc(seconds: int) -> str:
    """`2017-12-31T18:05:59Z` of seconds UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _from_number(value: int) -> int:
    if value < END_S:
        return _in_range(value)
    for unit in _FINER:
        if _FINER_FROM_S * unit <= value < END_S * unit:
            return value // unit
    raise ValueError(f"no time: {value}")


def _in_range(seconds: int) -> int:
    if not 0 <= seconds < END_S:
        raise ValueError(f"not between 1970 and 2100: {seconds} s")
    return seconds
