"""JSON as TensorFlow Serving reads it, which is not quite JSON.

    bytes ──parse──► values: None, bool, int, float, str, list, and objects as tuples of pairs

Objects keep their order and their repeated names: where a name comes twice, the first counts. What
follows the document is ignored. `NaN`, `Infinity`, `Inf` and their negatives are numbers. Strings
that are not UTF-8 keep their bytes (as lone surrogates, `bytes_of` gives them back). An integer
beyond 64 bits is a float.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import chain
from typing import Any, NoReturn

import orjson

from dualtower_serving.embedded.rest_json_text import text_of
from dualtower_serving.embedded.rest_settings import RestLimits
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Members", "bytes_of", "check_size", "find", "parse"]

Members = tuple[tuple[str, Any], ...]

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_INT64_DIGITS = 20
_OTHER_CONSTANTS = re.compile(r'"(?:[^"\\]|\\.)*"|-?Inf(?:inity)?|-?NaN', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_BIG_EXPONENT = re.compile(r"[0-9][eE]\+?0*[0-9]{3}|[0-9]{300}")
# Python's words → those of the stock server's parser
_WORDS = (
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of object", "Missing a name for object member."),
    ("Expecting ':'", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid \\uXXXX", "Incorrect hex digit after \\u escape in string."),
    ("Invalid control character", "Invalid encoding in string."),
)


def parse(body: bytes | bytearray, limits: RestLimits) -> Members:
    """The object that is the body of a request.

    Raises:
        StatusError: INVALID_ARGUMENT, it is none; RESOURCE_EXHAUSTED, it has too many values.
    """
    if not body:
        raise StatusError(Code.INVALID_ARGUMENT, "JSON Parse error: The document is empty")
    check_size(body, limits)
    plain = _plain(body)
    if plain is not None:
        return plain
    text = body.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    if _SURROGATE.search(text):
        _check_surrogates(text)
    try:
        value = _value(text)
    except RecursionError:
        raise StatusError(
            Code.INVALID_ARGUMENT, "JSON Parse error: lists and objects are nested too deeply"
        ) from None
    if not isinstance(value, tuple):
        raise StatusError(Code.INVALID_ARGUMENT, f"JSON Value: {text_of(value)} Is not object")
    return value


def check_size(body: bytes | bytearray, limits: RestLimits) -> None:
    """Refuses a body that would become too many values: `[[],[],...` takes 20 times its bytes.

    Raises:
        StatusError: RESOURCE_EXHAUSTED.
    """
    if len(body) <= limits.json_values:
        return
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > limits.json_values:
        raise StatusError(
            Code.RESOURCE_EXHAUSTED,
            f"the body holds {values} JSON values, at most {limits.json_values} are read",
        )


def find(members: Members, name: str) -> tuple[Any, ...]:
    """The value of the first member of this name in a tuple of one; `()` where there is none."""
    for key, value in members:
        if key == name:
            return (value,)
    return ()


def bytes_of(text: str) -> bytes:
    """The bytes of a string as they were sent."""
    return text.encode("utf-8", "surrogateescape")


def _plain(body: bytes | bytearray) -> Members | None:
    """The same for plain JSON, five times faster; None where it may not be the same.

    orjson keeps the last of two members of a name, where the first one counts. So the braces and
    the quotation marks are counted: there may be no more than what it returned accounts for.
    """
    if b"\\\\" in body:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:  # also what only the stock server reads, such as NaN
        return None
    if type(document) is not dict:
        return None
    objects, strings = 1, len(document)
    values: list[Any] = []
    members = []
    for name, value in document.items():
        if type(value) is dict:
            objects, strings = objects + 1, strings + len(value)
            values += value.values()
            value = tuple(value.items())
        elif type(value) is list and value and type(value[0]) is dict:
            if set(map(type, value)) != {dict}:
                return None
            objects, strings = objects + len(value), strings + sum(map(len, value))
            values += chain.from_iterable(map(dict.values, value))
            value = [tuple(one.items()) for one in value]
        else:
            values.append(value)
        members.append((name, value))
    if body.count(b"{") != objects:
        return None
    quotes = body.count(b'"') - body.count(b'\\"')
    if quotes != 2 * strings and quotes != 2 * (strings + _count_strings(values)):
        return None
    return tuple(members)


def _count_strings(level: list[Any]) -> int:
    """Strings among these values, and in the lists among them."""
    count = 0
    while level:
        types = list(map(type, level))
        count += types.count(str)
        lists = types.count(list)
        if lists < len(level):
            level = [one for one in level if type(one) is list] if lists else []
        level = list(chain.from_iterable(level))
    return count


def _value(text: str) -> Any:
    start = _end_of_space(text)
    exact = _BIG_EXPONENT.search(text) is not None
    decoder = _exact_decoder() if exact else _DECODER
    try:
        return decoder.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        if text.startswith(("Inf", "-Inf", "-NaN"), _start_of_constant(text, error.pos)):
            return _retry_with_constants(text)
        _raise_parse_error(text, error)


def _retry_with_constants(text: str) -> Any:
    """`Inf` and `-NaN`, which Python does not know, as what they mean."""
    changed = _OTHER_CONSTANTS.sub(
        lambda match: (
            match[0]
            if match[0].startswith('"')
            else match[0].replace("-NaN", "NaN").removesuffix("inity").replace("Inf", "Infinity")
        ),
        text,
    )
    if changed == text:
        _fail("Invalid value.", text, 0)
    return _value(changed)


def _start_of_constant(text: str, position: int) -> int:
    """Python points behind the sign of `-Inf`."""
    return position - 1 if text[position - 1 : position] == "-" else position


def _exact_decoder() -> json.JSONDecoder:
    """Slow: looks at each number, since one of them may be too big."""

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            raise StatusError(
                Code.INVALID_ARGUMENT,
                "JSON Parse error: Number too big to be stored in double.",
            )
        return value

    def integer(digits: str) -> int | float:
        return int(digits) if len(digits) <= _INT64_DIGITS else number(digits)

    parse_integer: Callable[[str], Any] = integer
    return json.JSONDecoder(object_pairs_hook=tuple, parse_float=number, parse_int=parse_integer)


def _end_of_space(text: str, start: int = 0) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


def _check_surrogates(text: str) -> None:
    """Half of a surrogate pair means no character."""
    high_ends = -1
    for match in _ESCAPE.finditer(text):
        code = int(match[1], 16) if match[1] else 0
        low = 0xDC00 <= code <= 0xDFFF
        if low != (high_ends == match.start()):
            break
        high_ends = match.end() if 0xD800 <= code <= 0xDBFF else -1
    else:
        if high_ends < 0:
            return
    _fail("The surrogate pair in string is invalid.", text, match.start())


def _raise_parse_error(text: str, error: json.JSONDecodeError) -> NoReturn:
    _fail(_words(text, error), text, error.pos)


def _words(text: str, error: json.JSONDecodeError) -> str:
    here = text[error.pos : error.pos + 1]
    before = text[error.pos - 1 : error.pos]
    for prefix, words in _WORDS:
        if error.msg.startswith(prefix):
            return words
    if error.msg.startswith("Expecting ','"):
        if before.isdigit() and here == ".":
            return "Miss fraction part in number."
        if before.isdigit() and here in ("e", "E"):
            return "Miss exponent in number."
        end = "}" if _inside_object(text, error.pos) else "]"
        kind = "an object member" if end == "}" else "an array element"
        return f"Missing a comma or {end} after {kind}."
    if not text[: error.pos].strip(" \t\n\r") and (not here or here in "}],:"):
        return "The document is empty."
    return "Invalid value."


def _inside_object(text: str, end: int) -> bool:
    """Whether the innermost bracket that is open at `end` is that of an object."""
    opened = []
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', text[:end], re.DOTALL):
        if match[0] in "[{":
            opened.append(match[0])
        elif match[0] in "]}" and opened:
            opened.pop()
    return bool(opened) and opened[-1] == "{"


def _fail(words: str, text: str, position: int) -> NoReturn:
    offset = len(bytes_of(text[:position]))
    raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words} at offset: {offset}")


_DECODER = json.JSONDecoder(object_pairs_hook=tuple)
