"""`dualtower predict` sends what was typed, or says why it cannot: each value, by each way in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from commands import COMMAND, in_process

from dualtower.errors import UsageError
from dualtower_clients import TensorSpec, decode
from dualtower_clients._json_tensors import array_of, tensor_of
from dualtower_clients.testing import FakeServer, FakeSignature

DTYPES = ("float16", "float32", "float64", "bfloat16", "complex64", "int64", "string")


@pytest.fixture(scope="module")
def echo() -> Iterator[FakeServer]:
    """Gives back what it gets: a model for each dtype, which wants that dtype."""
    with FakeServer() as server:
        for dtype in DTYPES:
            specs = {"v": TensorSpec(dtype, None)}
            server.add_model(dtype, FakeSignature(lambda inputs: inputs, specs, specs))
        pair = {"x": TensorSpec("float32", (-1, 2))}
        server.add_model("pair", FakeSignature(lambda inputs: inputs, pair, pair))
        yield server


@pytest.fixture
def said(echo) -> Callable[..., str]:
    """What the command prints: of an answer the values as JSON, else the error."""

    def predict(model: str, *arguments: str, stdin: str = "") -> str:
        done = in_process(
            "predict", model, "--address", echo.address, "--json", *arguments, stdin=stdin
        )
        if done.returncode:
            assert done.returncode == 2
            assert done.stdout == ""
            return done.stderr
        assert done.stderr == ""
        (values,) = json.loads(done.stdout)["outputs"].values()
        return json.dumps(values)

    return predict


@pytest.mark.parametrize("raw", [b'["\xe9"]', b'["\xed\xa0\x80"]'])
def test_stdin_that_is_no_utf8_is_not_sent(echo, raw):
    for locale in ("C.UTF-8", "POSIX"):
        done = subprocess.run(
            [*COMMAND, "predict", "string", "--address", echo.address, "--input", "v=-"],
            input=raw,
            capture_output=True,
            env={**os.environ, "LC_ALL": locale},
            check=False,
        )
        assert done.returncode == 2
        assert b"stdin is no text in UTF-8" in done.stderr
        assert b"b64" in done.stderr
    assert not [call for call in echo.calls_of(method="Predict") if call.model == "string"]


def test_an_argument_that_is_no_utf8_is_not_sent(echo):
    done = subprocess.run(
        [*map(os.fsencode, COMMAND), b"predict", b"string", b"--address", echo.address.encode(),
         b"--input", b'v=["\xe9"]'],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"b64" in done.stderr


def test_half_of_a_surrogate_pair_is_no_text(said):
    assert 'give bytes that are no text as {"b64": "..."}' in said(
        "string", "--input", 'v=["\\ud800"]'
    )
    assert said("string", "--input", 'v=["\\ud83e\\udd8a"]') == json.dumps(["🦊"])
    assert said("string", "--input", 'v=[{"b64": "6Q=="}]') == '[{"b64": "6Q=="}]'


def test_bfloat16_is_sent_as_the_nearest_one(said):
    nearest = pytest.importorskip("ml_dtypes").bfloat16
    values = [1.5, -2.0, 1 / 3, 1.001, 3.38e38]
    assert json.loads(said("bfloat16", "--input", f"v={values}")) == [
        float(nearest(value)) for value in values
    ]
    assert said("bfloat16", "--input", 'v=["NaN", "-Infinity"]') == '["NaN", "-Infinity"]'


def test_bfloat16_needs_no_further_package(echo):
    without = "import sys; sys.modules['ml_dtypes'] = None; from dualtower.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "predict", "bfloat16", "--address", echo.address,
         "--input", "v=[1.5]", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"] == {"v": [1.5]}


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float16", "70000"),
        ("float32", "1e300"),
        ("float32", "-3.5e38"),
        ("float64", "1e999"),
        ("float64", "1" + 400 * "0"),
        ("bfloat16", "3.4e38"),
        ("complex64", '{"re": 1, "im": 1e39}'),
        ("complex64", '{"re": "Infinity", "im": -1e39}'),
        ("int64", "1e999"),
    ],
)
def test_numbers_that_are_too_large_are_not_sent_as_infinity(said, dtype, value):
    error = said(dtype, "--input", f"v=[1, {value}]")
    assert "Warning" not in error
    assert "Infinity" in error or "too large" in error


def test_infinity_is_sent_where_it_is_meant(said):
    for dtype in ("float16", "float32", "float64", "bfloat16"):
        assert said(dtype, "--input", 'v=["Infinity"]') == '["Infinity"]'
    assert said("float16", "--input", "v=[65504, 1e-30]") == "[65504.0, 0.0]"


def test_known_dimensions_are_held_to_where_there_are_no_values(said):
    assert "float32 [?, 2], got values of shape [1, 0]" in said("pair", "--input", "x=[[]]")
    assert said("pair", "--input", "x=[]") == "[]"


@pytest.mark.parametrize(
    ("value", "wanted", "shape"),
    [
        ([], (-1, 3), (0, 3)),
        ([], (-1, -1, 2), (0, 0, 2)),
        ([[]], (-1, 0), (1, 0)),
        ([[]], (-1, -1, 3), (1, 0, 3)),
        ([], None, (0,)),
    ],
)
def test_an_empty_list_takes_the_dimensions_that_are_wanted(value, wanted, shape):
    spec = TensorSpec("float32", wanted)
    assert array_of("x", spec, value).shape == shape
    assert decode(tensor_of("x", spec, value)).shape == shape


@pytest.mark.parametrize(
    ("value", "wanted"), [([], ()), ([], (2,)), ([[]], (-1,)), ([[], []], (1, -1))]
)
def test_an_empty_list_is_no_value(value, wanted):
    with pytest.raises(UsageError, match="got values of shape"):
        array_of("x", TensorSpec("float32", wanted), value)


def test_an_input_is_given_once(said):
    twice = said("float32", "--input", "v=[1]", "--input", "v=[2]")
    assert "--input v is given more than once" in twice
    body = '{"inputs": {"v": [1], "v": [2]}}'
    assert "'v' more than once" in said("float32", "--request", "-", stdin=body)


@pytest.mark.parametrize("depth", [65, 70, 900, 100_000])
def test_lists_that_are_nested_too_deeply_are_named(said, depth):
    error = said("float32", "--input", "v=-", stdin="[" * depth + "]" * depth)
    assert "64 deep" in error or "nested too deeply" in error
    assert "Traceback" not in error


def test_lists_are_nested_as_deeply_as_numpy_can(said):
    deepest = "[" * 64 + "1.5" + "]" * 64
    assert json.loads(said("float32", "--input", f"v={deepest}")) == json.loads(deepest)
