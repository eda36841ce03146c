"""Reading JSON as the stock server does; Python's own parser is the judge of what is JSON."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_serving.embedded import rest_json
from dualtower_serving.embedded.rest_json_text import text_of
from dualtower_serving.embedded.rest_settings import RestLimits
from dualtower_serving.embedded.status import Code, StatusError

LIMITS = RestLimits()
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abn{\"'\\"), inner),
    max_leaves=20,
)
NUMBER_ROWS = st.lists(st.lists(NUMBERS, max_size=3) | NUMBERS, max_size=5)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name", "x"]),
    VALUES
    | NUMBER_ROWS
    | st.dictionaries(st.sampled_from("ab"), NUMBER_ROWS)
    | st.lists(st.dictionaries(st.sampled_from("ab"), NUMBER_ROWS), max_size=3),
)


def parse(body: bytes) -> rest_json.Members:
    return rest_json.parse(body, LIMITS)


def error_of(body: bytes, limits: RestLimits = LIMITS) -> str:
    with pytest.raises(StatusError) as raised:
        rest_json.parse(body, limits)
    assert raised.value.code in (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED)
    return raised.value.message


def plain(value: Any) -> Any:
    """Objects as dicts, the first of two members of a name."""
    if isinstance(value, tuple):
        return {name: plain(one) for name, one in reversed(value)}
    return [plain(one) for one in value] if isinstance(value, list) else value


@given(DOCUMENTS, st.sampled_from([None, 1]), st.booleans())
@settings(deadline=None)
def test_json_is_read_as_json(document: dict[str, Any], indent: int | None, plain_ascii: bool):
    body = json.dumps(document, indent=indent, ensure_ascii=plain_ascii).encode()
    read = plain(parse(body))
    assert read == document
    assert json.dumps(read, sort_keys=True) == json.dumps(document, sort_keys=True)  # 1 is no 1.0


@given(st.binary(max_size=60) | st.text('{}[]",:0123456789.eE-+ntfINaif\\u d8', max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused(body: bytes | str):
    body = body.encode() if isinstance(body, str) else body
    for one in (body, b'{"a":' + body, b'{"a":[1,' + body + b"]}"):
        with contextlib.suppress(StatusError):
            text_of(parse(one))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1} and more', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 1}),
        (b'{"a":[{"b":1,"b":2}]}', {"a": [{"b": 1}]}),
        (b'{"a":Inf,"b":-Inf,"c":Infinity}', {"a": 1e999, "b": -1e999, "c": 1e999}),
        (b'{"Inf":"Inf","b":-Infinity}', {"Inf": "Inf", "b": -1e999}),
        (b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
        (b'{"a":100000000000000000000000}', {"a": 1e23}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    ],
)
def test_what_the_stock_server_reads(body: bytes, value: object):
    assert plain(parse(body)) == value


def test_bytes_that_are_no_text_are_kept():
    ((_, text),) = parse(b'{"a":"\xff\xc3\xa9"}')
    assert rest_json.bytes_of(text) == b"\xff\xc3\xa9"


def test_minus_nan_is_nan():
    ((_, value),) = parse(b'{"a":-NaN}')
    assert value != value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The document is empty"),
        (b" \n", "The document is empty. at offset: 2"),
        (b"}", "The document is empty. at offset: 0"),
        (b"{", "Missing a name for object member. at offset: 1"),
        (b'{"a":1,}', "Missing a name for object member. at offset: "),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a":1 "b":2}', "Missing a comma or } after an object member. at offset: 7"),
        (b'{"a":[1 2]}', "Missing a comma or ] after an array element. at offset: 8"),
        (b'{"a":nul}', "Invalid value. at offset: 5"),
        (b'{"a":1.}', "Miss fraction part in number. at offset: 6"),
        (b'{"a":1e}', "Miss exponent in number. at offset: 6"),
        (b'{"a":1e400}', "Number too big to be stored in double."),
        (b'{"a":%s}' % (b"9" * 5000), "Number too big to be stored in double."),
        (b'{"a":"b', "Missing a closing quotation mark in string."),
        (b'{"a":"\\x"}', "Invalid escape character in string."),
        (b'{"a":"\\u00g0"}', "Incorrect hex digit after \\u escape in string."),
        (b'{"a":"\\ud800"}', "The surrogate pair in string is invalid. at offset: 6"),
        (b'{"a":"\\udc00"}', "The surrogate pair in string is invalid."),
        (b'{"a":"\x01"}', "Invalid encoding in string."),
    ],
)
def test_what_is_wrong_is_said_in_the_stock_servers_words(body: bytes, words: str):
    assert error_of(body).startswith(f"JSON Parse error: {words}")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_deep_nests_are_refused(opening: bytes):
    assert error_of(b'{"instances":' + opening * 200_000) == (
        "JSON Parse error: lists and objects are nested too deeply"
    )


def test_too_many_values_are_refused_before_they_are_made():
    limits = RestLimits(json_values=1000)
    assert "2003 JSON values, at most 1000" in error_of(
        b'{"instances":[' + b"[]," * 1000 + b"[]]}", limits
    )
    rest_json.parse(b'{"instances":["' + b"x" * 5000 + b'"]}', limits)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[1]", "[1]"),
        (b'"a\\n\\u0001\\""', '"a\\n\\u0001\\""'),
        (
            b"[1.0,-0.0,1e21,1e20,1.5e-7,0.00012]",
            "[1.0, -0.0, 1e21, 100000000000000000000.0, 1.5e-7, 0.00012]",
        ),
        (b"[true,null,[],{}]", "[true, null, [], {}]"),
        (b'[{"a":{"b":1}}]', '[{\n        "a": {\n            "b": 1\n        }\n    }]'),
    ],
)
def test_values_are_quoted_as_the_stock_server_quotes_them(body: bytes, text: str):
    assert error_of(body) == f"JSON Value: {text} Is not object"


def test_long_values_are_cut():
    assert len(error_of(b"[" + b"1234567," * 100_000 + b"1]")) < 320
    assert len(error_of(b'"%s"' % (b"x" * 1_000_000))) < 1100
