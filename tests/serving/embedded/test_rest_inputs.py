"""Bodies of :predict as arrays. numpy is the oracle for what is right, the stock server's source
for what is said about what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_clients.proto import tensor_pb2 as t
from dualtower_serving.embedded import rest_base64, rest_dense, rest_inputs, rest_json
from dualtower_serving.embedded.rest_settings import RestLimits
from dualtower_serving.embedded.status import Code, StatusError

LIMITS = RestLimits()
TWO = {"x": t.DT_FLOAT, "ids": t.DT_INT64}
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")


def arrays_of(body: Any, dtypes: dict[str, int]) -> dict[str, np.ndarray]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    document = rest_json.parse(raw, LIMITS)
    return rest_inputs.arrays_of(document, dtypes, rest_inputs.signature_name_of(document))[0]


def error_of(body: Any, dtypes: dict[str, int] = TWO, code: int = Code.INVALID_ARGUMENT) -> str:
    with pytest.raises(StatusError) as raised:
        arrays_of(body, dtypes)
    assert raised.value.code == code
    return raised.value.message


def failure_of(work: Callable[[], object]) -> int | None:
    try:
        work()
    except StatusError as error:
        return error.code
    return None


def dtype_of(name: str) -> int:
    names = {"float32": t.DT_FLOAT, "float64": t.DT_DOUBLE}
    return names[name] if name in names else getattr(t, f"DT_{name.upper()}")


@st.composite
def nests(draw: st.DrawFn, leaves: st.SearchStrategy[Any]) -> Any:
    shape = draw(st.lists(st.integers(1, 3), max_size=3))
    flat = iter(draw(st.lists(leaves, min_size=27, max_size=27)))

    def made(level: int) -> Any:
        if level == len(shape):
            return next(flat)
        return [made(level + 1) for _ in range(shape[level])]

    return made(0)


@given(st.data(), st.sampled_from(["float32", "float64", "bool", "string", *INTEGERS]))
@settings(max_examples=60, deadline=None)
def test_regular_values_are_what_numpy_makes_of_them(data: st.DataObject, name: str):
    if name.startswith("float"):
        leaves = st.floats(width=32, allow_nan=False) | st.integers(-1000, 1000)
    elif name == "bool":
        leaves = st.booleans()
    elif name == "string":
        leaves = st.text(max_size=3)
    else:
        limits = np.iinfo(name)
        leaves = st.integers(int(limits.min), int(limits.max))
    value = data.draw(nests(leaves))
    read = arrays_of({"inputs": {"v": value}}, {"v": dtype_of(name)})["v"]
    expected = np.array(value, object if name == "string" else name)
    if name == "string":
        expected = np.array([one.encode() for one in expected.ravel()], object).reshape(
            expected.shape
        )
    assert read.dtype == expected.dtype
    assert read.shape == expected.shape
    assert np.array_equal(read, expected)
    if isinstance(value, list):
        rows = arrays_of({"instances": value}, {"v": dtype_of(name)})["v"]
        named = arrays_of({"instances": [{"v": one} for one in value]}, {"v": dtype_of(name)})["v"]
        assert np.array_equal(rows, read)
        assert np.array_equal(named, read)


RAGGED = st.recursive(
    st.booleans() | st.none() | st.integers(-300, 2**65) | st.floats() | st.text(max_size=2)
    | st.just({}) | st.just({"b64": "AA=="}) | st.just({"b64": 1}) | st.just({"v": [1]}),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(RAGGED, st.sampled_from([*range(1, 24), 99]), st.sampled_from(["instances", "inputs"]))
@settings(max_examples=300, deadline=None)
def test_what_is_fast_and_what_explains_agree(value: Any, dtype: int, key: str):
    """An irregular value is refused with a reason, a regular one never."""
    document = rest_json.parse(json.dumps({key: value}).encode(), LIMITS)
    read = document[0][1]
    wrong = failure_of(lambda: rest_dense.check(read, rest_dense.shape_of(read), dtype))
    array = rest_dense.array_of(read, dtype)
    assert wrong is None or array is None
    if wrong is None and dtype in (t.DT_FLOAT, t.DT_INT32, t.DT_STRING, t.DT_BOOL, t.DT_UINT64):
        assert array is not None
        assert list(array.shape) == rest_dense.shape_of(read)
    whole = failure_of(lambda: rest_inputs.arrays_of(document, {"v": dtype}, ""))
    assert {wrong, whole} <= {None, Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        (
            {"inputs": {}, "instances": []},
            'JSON Value: {\n    "inputs": {},\n    "instances": []\n} Not formatted correctly '
            "expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        (
            {"instances": []},
            "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
        ),
        (
            {"instances": {}},
            "JSON Value: {\n    \"instances\": {}\n} Expecting 'instances' to be an list/array",
        ),
        (
            {"signature_name": 1, "instances": [1]},
            'JSON Value: {\n    "signature_name": 1,\n    "instances": [1]\n} not formatted '
            "correctly. 'signature_name' key must be a string value.",
        ),
        (
            {"instances": [[1, 2]]},
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map",
        ),
        (
            {"inputs": [1]},
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map",
        ),
        ({"inputs": {"x": [[1]]}}, "Missing named input: ids in 'inputs' object."),
        (
            {"instances": [{"x": [1], "ids": 1}, [1]]},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"instances": [{"x": [1]}]},
            "Failed to process element: 0 of 'instances' list. JSON object: "
            '{\n    "x": [1]\n} keys must be equal to: ids,x',
        ),
        (
            {"instances": [{"x": 1, "ids": 1, "q": 1}]},
            "Failed to process element: 0 key: q of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: q",
        ),
        (
            {"instances": [{"x": ["a"], "ids": 1}]},
            "Failed to process element: 0 key: x of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            {"instances": [{"x": [1, 2], "ids": 7}, {"x": [1], "ids": 1}]},
            "Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting tensor size: 2 but got: 1",
        ),
        (
            {"instances": [{"x": [[1, 2]], "ids": 7}, {"x": [[1], [2]], "ids": 1}]},
            "Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [1,2] but got: [2,1]",
        ),
        (
            {"inputs": {"x": [[1, 2], [3]], "ids": [1]}},
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        (
            {"inputs": {"x": [1, [2]], "ids": [1]}},
            "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            {"inputs": {"x": [[1], 2], "ids": [1]}},
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            {"inputs": {"x": [{"b64": "AA=="}], "ids": [1]}},
            'JSON Value: {\n    "b64": "AA=="\n} Type: Object is not of expected type: float',
        ),
    ],
)
def test_what_is_wrong_with_two_inputs(body: Any, message: str):
    assert error_of(body).startswith(message)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (b"1.5", t.DT_INT64, "JSON Value: 1.5 Type: Number is not of expected type: int64"),
        (b"1.0", t.DT_INT32, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (b"true", t.DT_FLOAT, "JSON Value: true Type: True is not of expected type: float"),
        (b"false", t.DT_INT64, "JSON Value: false Type: False is not of expected type: int64"),
        (b"null", t.DT_DOUBLE, "JSON Value: null Type: Null is not of expected type: double"),
        (b"1", t.DT_BOOL, "JSON Value: 1 Type: Number is not of expected type: bool"),
        (b"1", t.DT_STRING, "JSON Value: 1 Type: Number is not of expected type: string"),
        (b'"1"', t.DT_INT8, 'JSON Value: "1" Type: String is not of expected type: int8'),
        (b"2147483648", t.DT_INT32, "JSON Value: 2147483648 Type: Number is not of expected type"),
        (b"-1", t.DT_UINT64, "JSON Value: -1 Type: Number is not of expected type: uint64"),
        (b"-1", t.DT_UINT32, "JSON Value: -1 Type: Number is not of expected type: uint32"),
        (b"300", t.DT_UINT8, "JSON Value: 300 Type: Number is not of expected type: uint8"),
        (b"9223372036854775808", t.DT_INT64, "JSON Value: 9223372036854775808 Type: Number is"),
        (b"99999999999999999999", t.DT_UINT64, "JSON Value: 100000000000000000000.0"
         " Type: Number is"),
        (b"{}", t.DT_STRING, "JSON Value: {} not formatted correctly for base64 data"),
        (b'{"b64":"="}', t.DT_STRING, "Unable to base64 decode"),
    ],
)  # fmt: skip
def test_types_are_strict(value: bytes, dtype: int, message: str):
    assert error_of(b'{"inputs":{"v":%s}}' % value, {"v": dtype}).startswith(message)
    row = error_of(b'{"instances":[{"v":%s}]}' % value, {"v": dtype})
    assert row.startswith(
        "Failed to process element: 0 key: v of 'instances' list. "
        f"Error: INVALID_ARGUMENT: {message}"
    )


@pytest.mark.parametrize(
    ("dtype", "name"), [(t.DT_HALF, "half"), (t.DT_BFLOAT16, "bfloat16"), (t.DT_UINT16, "uint16")]
)
def test_dtypes_that_json_does_not_carry(dtype: int, name: str):
    words = f"Conversion of JSON Value: 1 to type: {name}"
    assert error_of({"inputs": 1}, {"v": dtype}, Code.UNIMPLEMENTED) == words
    assert error_of({"instances": [1]}, {"v": dtype}) == (
        f"Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: {words}"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"instances":[NaN,Infinity,-Infinity]}', [np.nan, np.inf, -np.inf]),
        (b'{"instances":[1e39,1,10000000000000000000000]}', [np.inf, 1, 1e22]),
        (b'{"instances":[1],"instances":[2]}', [1]),
        (b'{"instances":[{"v":1,"v":2},{"v":3,"v":4}]}', [1, 3]),
        (b'{"instances":[{"v":[]},{"v":[]}]}', [[], []]),
        (b'{"inputs":[]}', []),
        (b'{"output_filter":["x"],"more":{},"inputs":2}', 2),
        (b'{"inputs":{"v":[1],"w":null}}', [1]),
    ],
)
def test_floats_of_all_kinds(body: bytes, expected: Any):
    read = arrays_of(body, {"v": t.DT_FLOAT})["v"]
    assert read.dtype == np.float32
    assert np.array_equal(read, np.array(expected, np.float32), equal_nan=True)


def test_strings_are_text_or_base64_at_any_level():
    body = b'{"inputs":[["a\\u00e9",{"b64":"AP8="}],["\xff",""]]}'
    read = arrays_of(body, {"v": t.DT_STRING})["v"]
    assert read.tolist() == [["aé".encode(), b"\0\xff"], [b"\xff", b""]]
    row = arrays_of({"instances": [{"b64": "AP8="}, "x"]}, {"v": t.DT_STRING})["v"]
    assert row.tolist() == [b"\0\xff", b"x"]
    assert arrays_of({"inputs": {"b64": "AP8="}}, {"v": t.DT_STRING})["v"].item() == b"\0\xff"


def test_an_object_of_another_kind_is_no_base64():
    assert error_of({"instances": ["a", {"x": "AA=="}]}, {"v": t.DT_STRING}) == (
        "Expecting value/list but got object at item 1 of input list"
    )
    assert "does not have named input: b64" in error_of(
        {"instances": [{"b64": 1}]}, {"v": t.DT_STRING}
    )


def test_a_signature_without_inputs_has_no_row():
    assert error_of({"instances": [1]}, {}) == "Failed to get input map for signature: DEFAULT"
    assert error_of({"signature_name": "q", "inputs": {}}, {}) == (
        "Failed to get input map for signature: q"
    )


def test_lists_deeper_than_an_array_can_be():
    deep = b"[" * 70 + b"1" + b"]" * 70
    assert "nested deeper than 63" in error_of(b'{"inputs":%s}' % deep, {"v": t.DT_FLOAT})
    assert "nested deeper than 63" in error_of(b'{"instances":%s}' % deep, {"v": t.DT_FLOAT})


@given(st.binary(max_size=40), st.sampled_from(["", "strip", "dots", "spaces"]))
@settings(deadline=None)
def test_base64(raw: bytes, change: str):
    text = base64.b64encode(raw).decode()
    if change == "strip":
        text = text.rstrip("=")
    elif change == "dots":
        text = text.replace("=", ".")
    elif change == "spaces":
        text = "\n ".join(text)
    assert rest_base64.decode(text) == raw


@pytest.mark.parametrize("text", ["A", "AAA==", "A===", "====", "AA=", "A-_A", "é", "AA==AA=="])
def test_what_is_no_base64(text: str):
    with pytest.raises(StatusError, match="Unable to base64 decode"):
        rest_base64.decode(text)
