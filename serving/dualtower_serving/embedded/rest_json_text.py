"""Parsed JSON as texts of errors quote it: one line a list, objects indented, cut when long.

The layout is that of the stock server's messages, on which clients match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

__all__ = ["is_integer", "text_of", "type_name"]

_MIN_INT64, _MAX_UINT64 = -(1 << 63), (1 << 64) - 1

_MAX_CHARS = 256  # the value that crosses this line is the last one
_MAX_STRING_CHARS = 1024
_INDENT = "    "
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ESCAPES["\t"] = "\\t"
_POINT_AT_MOST = 21  # digits before the point, from there on an exponent
_ZEROS_AT_MOST = 6


def type_name(value: object) -> str:
    """The JSON type, as error texts name it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return "String"
    if isinstance(value, list):
        return "Array"
    return "Object" if isinstance(value, tuple) else "Number"


def is_integer(value: object) -> bool:
    """Whether a parsed value is an integer of 64 bits, with or without a sign."""
    return type(value) is int and _MIN_INT64 <= value <= _MAX_UINT64


def text_of(value: Any) -> str:
    """The value as text; what would begin beyond 256 characters is left out."""
    parts: list[str] = []
    length = 0
    for piece in _pieces(value, 0, ""):
        if length >= _MAX_CHARS:
            break
        parts.append(piece)
        length += len(piece)
    return "".join(parts)


def _pieces(value: Any, depth: int, before: str) -> Iterator[str]:
    if isinstance(value, list):
        yield f"{before}["
        for position, one in enumerate(value):
            yield from _pieces(one, depth + 1, ", " if position else "")
        yield "]"
    elif isinstance(value, tuple):
        yield f"{before}{{"
        for position, (name, one) in enumerate(value):
            comma = "," if position else ""
            yield f"{comma}\n{_INDENT * (depth + 1)}{_string(name)}"
            yield from _pieces(one, depth + 1, ": ")
        yield ("\n" + _INDENT * depth if value else "") + "}"
    else:
        yield before + _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    return str(value) if is_integer(value) else _double(value)


def _string(text: str) -> str:
    cut = text[:_MAX_STRING_CHARS]
    quoted = "".join(
        _ESCAPES.get(char) or (f"\\u{ord(char):04X}" if char < " " else char) for char in cut
    )
    return f'"{quoted}"' if len(text) == len(cut) else f'"{quoted}..."'


def _double(value: float) -> str:
    """The shortest digits, with a point up to 21 places and with an exponent beyond."""
    try:
        value = float(value)
    except OverflowError:
        return str(value)[:_MAX_STRING_CHARS]
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    shortest = repr(abs(value))
    mantissa, _, exponent = (shortest if "e" in shortest else f"{shortest}e0").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0") or "0"
    sign = "-" if math.copysign(1, value) < 0 else ""
    if digits == "0":
        return f"{sign}0.0"
    if len(digits) <= point <= _POINT_AT_MOST:
        return f"{sign}{digits}{'0' * (point - len(digits))}.0"
    if 0 < point <= _POINT_AT_MOST:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -_ZEROS_AT_MOST < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1}"
