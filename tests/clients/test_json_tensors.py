"""JSON into arrays of a signature's dtypes, and back, through the wire's codec."""

from __future__ import annotations

import json

import pytest

from dualtower.errors import UsageError
from dualtower_clients import Signature, TensorSpec, decode, encode
from dualtower_clients._json_tensors import array_of, columns_of, json_of

ANY = (-1,)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [1.5, -2, 0, "NaN", "Infinity", "-Infinity"]),
        ("float64", [1e300, 5]),
        ("float16", [0.5, 65504.0]),
        ("int8", [-128, 127]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 255]),
        ("uint64", [0, 2**64 - 1]),
        ("bool", [True, False]),
        ("string", ["", "日本 🦊", "a\0b", {"b64": "/w=="}]),
        ("complex64", [{"re": 1.0, "im": -2.0}, {"re": 0.5, "im": 0.0}]),
    ],
)
def test_values_come_back_as_they_went(dtype, values) -> None:
    sent = array_of("x", TensorSpec(dtype, ANY), values)
    again = json.loads(json.dumps(json_of(decode(encode(sent))), allow_nan=False))
    assert again == values


def test_bfloat16_is_read_and_written_as_numbers() -> None:
    pytest.importorskip("ml_dtypes")
    sent = array_of("x", TensorSpec("bfloat16", ANY), [1.5, -2.0, "NaN"])
    assert json_of(decode(encode(sent, dtype="bfloat16"))) == [1.5, -2.0, "NaN"]


@pytest.mark.parametrize(
    ("value", "wanted", "shape"),
    [
        (1.0, (), ()),
        ([[1, 2, 3]], (-1, 3), (1, 3)),
        ([], (-1, 3), (0, 3)),
        ([[], []], (-1, -1), (2, 0)),
        ([[[1.0]]], None, (1, 1, 1)),
    ],
)
def test_shapes(value, wanted, shape) -> None:
    assert array_of("x", TensorSpec("float32", wanted), value).shape == shape


@pytest.mark.parametrize(
    ("dtype", "shape", "value", "words"),
    [
        ("float32", ANY, [[1.0]], r"'x' is float32 \[\?\], got values of shape \[1, 1\]"),
        ("float32", (-1, 2), [[1, 2, 3]], r"\[\?, 2\], got values of shape \[1, 3\]"),
        ("float32", (-1, -1), [[1], [1, 2]], r"lists of different lengths.*\[1\], \[2\]"),
        ("float32", ANY, ["1.0"], "got '1.0': a number is wanted"),
        ("float32", ANY, [True], "got True: a number is wanted"),
        ("float32", ANY, [None], "got None: a number is wanted"),
        ("int64", ANY, [1.0], "got 1.0: a whole number is wanted"),
        ("int8", ANY, [128], "'x' is int8, got 128"),
        ("int64", ANY, [2**63], "'x' is int64, got 9223372036854775808"),
        ("uint8", ANY, [-1], "'x' is uint8, got -1"),
        ("bool", ANY, [1], "got 1: true or false is wanted"),
        ("string", ANY, [5], "got 5: a text or"),
        ("string", ANY, [{"b64": "?"}], "no base64"),
        ("complex64", ANY, [{"re": 1, "x": 2}], "a number is wanted"),
        ("resource", ANY, [5], "'x' is resource, which has no form in JSON"),
    ],
)
def test_what_does_not_fit_says_what_is_wanted(dtype, shape, value, words) -> None:
    with pytest.raises(UsageError, match=words):
        array_of("x", TensorSpec(dtype, shape), value)


def signature(*names: str) -> Signature:
    return Signature({name: TensorSpec("float32", ANY) for name in names}, {}, "", {})


def test_rows_become_columns() -> None:
    assert columns_of(signature("x"), [1, 2]) == {"x": [1, 2]}
    assert columns_of(signature("x"), [{"b64": "AA=="}]) == {"x": [{"b64": "AA=="}]}
    rows = [{"x": 1, "y": [2]}, {"x": 3, "y": [4]}]
    assert columns_of(signature("x", "y"), rows) == {"x": [1, 3], "y": [[2], [4]]}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no instances"),
        ([1, 2], "an object of the inputs x, y"),
        ([{"x": 1}, {"y": 1}], "instance 1 has the inputs y, the first one x"),
    ],
)
def test_rows_that_are_no_table(rows, words) -> None:
    with pytest.raises(UsageError, match=words):
        columns_of(signature("x", "y"), rows)
