"""`{"b64": "..."}`: how JSON carries bytes."""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import Any

from dualtower_serving.embedded.rest_json_text import text_of
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["KEY", "decode_object", "is_object"]

KEY = "b64"
_SPACE = str.maketrans("", "", " \t\n\v\f\r")


def is_object(value: Any) -> bool:
    """Whether a parsed value is an object with the one member `b64`, a string."""
    return (
        isinstance(value, tuple)
        and len(value) == 1
        and value[0][0] == KEY
        and isinstance(value[0][1], str)
    )


def decode_object(value: Any) -> bytes:
    """The bytes of a base64 object.

    Raises:
        StatusError: INVALID_ARGUMENT, it is another object, or no base64.
    """
    if not is_object(value):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"JSON Value: {text_of(value)} not formatted correctly for base64 data",
        )
    return decode(value[0][1])


def decode(text: str) -> bytes:
    """Base64 with or without its padding, in which `.` is as good as `=`; white space is skipped.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if len(text) % 4 == 0:  # Python 3.10 would drop surplus padding
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(text, validate=True)
    body = text.translate(_SPACE)
    digits = body.rstrip("=.")
    padding = len(body) - len(digits)
    wanted = -len(digits) % 4
    if wanted == 3 or padding not in (0, wanted):
        raise _error()
    try:
        return base64.b64decode(digits + "=" * wanted, validate=True)
    except (binascii.Error, ValueError):  # ValueError: a character that is not ASCII
        raise _error() from None


def _error() -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, "Unable to base64 decode")
