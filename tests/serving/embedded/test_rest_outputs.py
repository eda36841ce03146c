"""Arrays and results as JSON, and the digits of floats by the rule spelled out."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dualtower_clients.proto import examples_pb2
from dualtower_serving.embedded import rest_outputs
from dualtower_serving.embedded.rest_numbers import float_text, float_texts
from dualtower_serving.embedded.status import StatusError

DIGITS = {"float32": 9, "float64": 17}


def expected_text(value: np.floating[Any], digits: int) -> str:
    """The rule, one float at a time."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{float(value):.6g}"
    if type(value)(text) != value:
        text = f"{float(value):.{digits}g}"
    return text if set(text) & {".", "e"} else text + ".0"


@pytest.mark.parametrize("name", DIGITS)
def test_the_digits_of_floats(name: str):
    kind = np.dtype(name).type
    random = np.random.default_rng(0)
    bits = np.uint32 if name == "float32" else np.uint64
    with np.errstate(all="ignore"):
        values = np.concatenate([
            random.integers(0, np.iinfo(bits).max, 5000, bits, endpoint=True).view(name),
            (random.standard_normal(5000) * 10.0 ** random.integers(-8, 9, 5000)).astype(name),
            np.round(random.standard_normal(5000), 3).astype(name),
            np.arange(-500, 500).astype(name),
            (10.0 ** np.arange(-40, 40)).astype(name),
            (2.0 ** np.arange(-60, 60)).astype(name),
            np.array([0, -0.0, np.nan, np.inf, -np.inf, 999999, 999999.5, 1e6, 123456789], name),
        ])  # fmt: skip
        expected = [expected_text(value, DIGITS[name]) for value in values]
    assert float_texts(values) == expected
    assert [float_text(float(value), DIGITS[name]) for value in values] == expected
    for value, text in zip(values, expected, strict=True):  # nothing is lost
        assert kind(text) == value or np.isnan(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (3, "3.0"), (1 / 3, "0.333333343"), (1e-5, "1e-05"), (16777216, "16777216.0"),
     (9e6, "9e+06"), (-0.0, "-0.0"), (123456, "123456.0")],
)  # fmt: skip
def test_float32_as_the_stock_server_prints_it(value: float, text: str):
    for length in (1, 20):
        assert float_texts(np.full(length, value, np.float32)) == [text] * length


@given(
    npst.arrays(
        st.sampled_from(["float32", "float64", "int8", "int64", "uint64", "uint32", "bool"]),
        npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
    )
)
@settings(max_examples=150, deadline=None)
def test_arrays_come_back_as_they_were(array: np.ndarray):
    read = json.loads(rest_outputs.columns({"y": array}))["outputs"]
    assert np.array_equal(
        np.array(read, array.dtype).reshape(array.shape),
        array,
        equal_nan=array.dtype.kind == "f",
    )
    if array.ndim:
        rows = json.loads(rest_outputs.rows({"y": array, "z": array}))["predictions"]
        assert len(rows) == len(array)
        assert json.dumps([row["y"] for row in rows]) == json.dumps(read)
        alone = json.loads(rest_outputs.rows({"y": array}))["predictions"]
        assert json.dumps(alone) == json.dumps(read)


@given(st.lists(st.binary(max_size=6) | st.text(max_size=4).map(str.encode), max_size=5))
@settings(deadline=None)
def test_any_bytes_make_valid_json(values: list[bytes]):
    array = np.empty(len(values), object)
    array[:] = values
    page = json.loads(rest_outputs.columns({"s": array, "s_bytes": array}).decode("utf-8"))
    for value, text, packed in zip(
        values, page["outputs"]["s"], page["outputs"]["s_bytes"], strict=True
    ):
        assert base64.b64decode(packed["b64"]) == value
        read = base64.b64decode(text["b64"]) if isinstance(text, dict) else text.encode()
        assert read == value  # nothing is lost
        assert isinstance(text, str) or b"\xff" in value or any(byte > 127 for byte in value)


def test_one_output_has_no_name_and_many_are_sorted_objects():
    two = {"a": np.array([1, 2]), 'b"\n': np.array([True, False])}
    assert json.loads(rest_outputs.rows(two)) == {
        "predictions": [{"a": 1, 'b"\n': True}, {"a": 2, 'b"\n': False}]
    }
    assert json.loads(rest_outputs.columns(two)) == {
        "outputs": {"a": [1, 2], 'b"\n': [True, False]}
    }
    assert json.loads(rest_outputs.columns({"a": np.array(2.0)})) == {"outputs": 2.0}


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"n": np.array(1)}, "Tensor name: n has no shape information "),
        (
            {"a": np.zeros(2), "b": np.zeros(3)},
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",
        ),
        ({"a": np.zeros(2, np.float16)}, "Failed to write JSON value for tensor type: half"),
        ({"a": np.zeros(2, np.uint16)}, "Failed to write JSON value for tensor type: uint16"),
    ],
)
def test_what_cannot_be_written_in_rows(outputs: dict[str, np.ndarray], message: str):
    with pytest.raises(StatusError) as raised:
        rest_outputs.rows(outputs)
    assert raised.value.message == message


def test_results_of_examples():
    classes = examples_pb2.ClassificationResult()
    one = classes.classifications.add()
    one.classes.add(label='a"', score=0.1)
    one.classes.add(score=2)
    classes.classifications.add()
    assert json.loads(rest_outputs.classifications(classes)) == {
        "results": [[['a"', 0.1], ["", 2.0]], []]
    }
    values = examples_pb2.RegressionResult()
    values.regressions.add(value=3.125)
    values.regressions.add(value=float("nan"))
    assert rest_outputs.regressions(values).split() == b'{ "results": [3.125, NaN] }'.split()


def test_no_results_are_an_error():
    with pytest.raises(StatusError, match="Cannot convert empty ClassificationResults to JSON"):
        rest_outputs.classifications(examples_pb2.ClassificationResult())
    with pytest.raises(StatusError, match="Cannot convert empty RegressionResults to JSON"):
        rest_outputs.regressions(examples_pb2.RegressionResult())


@pytest.mark.parametrize("text", ["é\n\"'", "\udcff", "\ud800x", "a" * 100_000, "\0"])
def test_any_error_text_is_json(text: str):
    read = json.loads(rest_outputs.error(text).decode("utf-8"))
    assert list(read) == ["error"]
    assert len(read["error"]) >= len(text)
