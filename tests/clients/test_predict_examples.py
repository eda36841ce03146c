"""`dualtower predict` with examples: what it sends and prints is what REST takes and answers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from commands import in_process

from dualtower_clients import TensorSpec, _examples, _requests
from dualtower_clients._json_examples import examples_of
from dualtower_clients.proto import examples_pb2
from dualtower_clients.testing import FakeModel, FakeServer, FakeSignature
from dualtower_serving.embedded import rest_examples, rest_json
from dualtower_serving.embedded.rest_settings import RestSettings
from dualtower_serving.launch import free_port

BUILDER = Path(__file__).parent.parent / "serving" / "embedded" / "small_models.py"


@pytest.fixture(scope="module")
def rest_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def small_server(shared_server, made_by_script, rest_port):
    folder = made_by_script("small-models", BUILDER)
    one = shared_server(
        "--model_name=examples",
        f"--model_base_path={folder / 'examples'}",
        f"--rest_api_port={rest_port}",
    )
    one.wait_ready("examples")
    return one


@pytest.fixture
def rest(small_server, rest_port) -> Callable[..., object]:
    """What the server's REST answers to a body."""

    def ask(method: str, body: dict[str, object]) -> object:
        request = urllib.request.Request(
            f"http://localhost:{rest_port}/v1/models/examples:{method}",
            json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["results"]

    return ask


BODIES = [
    {"examples": [{"x": 0.25}, {"x": [4.0], "w": 0.5}, {"x": -1.5}]},
    {"context": {"w": 2.0}, "examples": [{"x": 1.0}, {"x": 1.0, "w": 3.0}]},
    {"examples": [{"x": 0.5, "other": {"b64": "/w=="}, "more": ["a", {"b64": "YQ"}]}]},
]


@pytest.mark.parametrize("body", BODIES)
def test_regress_answers_as_rest_does(small_server, rest, body):
    done = in_process(
        "predict", "examples", "--address", small_server.address, "--method", "regress",
        "--request", "-", "--json", stdin=json.dumps(body),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["results"] == rest("regress", body)
    assert (found["model"], found["version"], found["signature"]) == (
        "examples", 1, "serving_default",
    )  # fmt: skip


def test_errors_of_the_model_are_named(small_server):
    done = in_process(
        "predict", "examples", "--address", small_server.address, "--method", "regress",
        "--example", '{"x": 1}',
    )  # fmt: skip
    assert done.returncode == 2
    assert "int64" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def read_by_rest(body: dict[str, object]) -> examples_pb2.Input:
    return rest_examples.input_of(rest_json.parse(json.dumps(body).encode(), RestSettings().limits))


@pytest.mark.parametrize(
    "body",
    [
        *BODIES,
        {"examples": [{"i": [1, -2, True]}, {"f": [0.5, 1e10]}, {"b": ["é", {"b64": "6Q"}]}]},
        {"examples": [{"one": 7}, {"one": False}, {"one": "text"}], "signature_name": "s"},
    ],
)
def test_the_kinds_of_values_are_those_of_rest(body):
    examples, context = examples_of(body)
    raw = _examples.regression(_requests.model_spec("m"), examples, context)
    assert examples_pb2.RegressionRequest.FromString(raw).input == read_by_rest(body)


@pytest.fixture(scope="module")
def fake() -> FakeServer:
    """Signatures whose method says what they are for, and one whose does not."""

    def scores(inputs):
        x = [row["x"][0] for row in inputs["examples"]]
        return {"classes": [["low", "high"]] * len(x), "scores": [[1 - one, one] for one in x]}

    def values(inputs):
        return {"outputs": [2 * row["x"][0] for row in inputs["examples"]]}

    with FakeServer() as server:
        texts = {"inputs": TensorSpec("string", (-1,))}
        server.add_model(
            "m",
            FakeModel(
                {
                    "serving_default": FakeSignature(values, texts),
                    "classes": FakeSignature(scores, texts),
                }
            ),
        )
        yield server


@pytest.fixture
def run(fake) -> Callable[..., object]:
    return partial(in_process, "predict", "m", "--address", fake.address)


def printed(done) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_classify_prints_labels_and_scores(run):
    arguments = [
        "--method", "classify", "--signature", "classes",
        "--example", '{"x": 0.25}', "--example", '{"x": 1.0}',
    ]  # fmt: skip
    found = printed(run(*arguments, "--json"))
    assert found["results"] == [[["low", 0.75], ["high", 0.25]], [["low", 0.0], ["high", 1.0]]]
    assert found["signature"] == "classes"
    shown = run(*arguments).stdout
    assert "low 0.75, high 0.25" in shown


def test_regress_prints_a_number_for_each_example(run):
    arguments = ["--method", "regress", "--example", '{"x": 0.25}']
    assert printed(run(*arguments, "--json"))["results"] == [0.5]
    assert "0.5" in run(*arguments).stdout


def test_several_signatures_in_one_call(run, fake):
    before = len(fake.calls_of(method="MultiInference"))
    arguments = [
        "--task", "classes=classify", "--task", "serving_default=regress",
        "--example", '{"x": 0.25}',
    ]  # fmt: skip
    found = printed(run(*arguments, "--json"))
    assert found["classes"]["results"] == [[["low", 0.75], ["high", 0.25]]]
    assert found["serving_default"]["results"] == [0.5]
    shown = run(*arguments).stdout
    assert "low 0.75" in shown
    assert len(fake.calls_of(method="MultiInference")) == before + 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--example", '{"x": 1.0}'], "does not say what to do with examples; give --method"),
        (["--example", "5", "--method", "regress"], "example 0 must be an object of features"),
        (["--example", "{x}", "--method", "regress"], "--example is no JSON"),
        (["--example", '{"x": null}', "--method", "regress"], "feature 'x' of example 0 is a"),
        (["--example", '{"x": [[1]]}', "--method", "regress"], "feature 'x' of example 0"),
        (["--example", '{"x": [1, "a"]}', "--method", "regress"], "feature 'x' of example 0"),
        (["--example", '{"x": 1e39}', "--method", "regress"], "holds no number as large"),
        (["--example", '{"x": 9223372036854775808}', "--method", "regress"], "feature 'x'"),
        (["--example", '{"x": {"b64": "?"}}', "--method", "regress"], "no base64"),
        (["--example", '{"x": "\\ud800"}', "--method", "regress"], "b64"),
        (["--example", '{"x": 1.0}', "--method", "predict"], "takes inputs"),
        (["--method", "classify"], "--method classify takes examples"),
        (["--method", "regress", "--input", "x=[1]"], "--method regress takes examples"),
        (["--example", '{"x": 1.0}', "--input", "x=[1]"], "by --input or by --example"),
        (
            ["--example", '{"x": 1.0}', "--method", "regress", "--output", "y"],
            "--output is for predict",
        ),
        (["--task", "classes=classify"], "--task takes examples"),
        (["--task", "classes=predict", "--example", "{}"], "no SIGNATURE=classify or"),
        (["--task", "classes", "--example", "{}"], "no SIGNATURE=classify or"),
        (["--task", "spam=classify", "--example", "{}"], "no signature 'spam'"),
        (
            ["--task", "classes=classify", "--task", "classes=regress", "--example", "{}"],
            "given more than once",
        ),
        (["--task", "classes=classify", "--method", "classify", "--example", "{}"], "beside it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_use_is_named(run, arguments, words):
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"examples": []}, "there are no examples"),
        ({"examples": {"x": 1.0}}, '"examples" must be a list'),
        ({"examples": [{"x": 1.0}], "inputs": {}}, '{"examples": [...]}'),
        ({"examples": [{"x": 1.0}], "context": 5}, "the context must be an object"),
        ({"examples": [{"x": 1.0}], "signature_name": 5}, '"signature_name" must be a text'),
    ],
)
def test_requests_that_are_none_are_named(run, body, words):
    done = run("--request", "-", "--method", "regress", stdin=json.dumps(body))
    assert done.returncode == 2
    assert words in done.stderr


def test_the_method_of_a_signature_is_the_default(server):
    """As of models of TensorFlow 1, whose signatures say what they are for."""
    from dualtower_clients.proto import inference_pb2, signature_pb2

    known = signature_pb2.SignatureDefMap()
    known.signature_def["serving_default"].method_name = "tensorflow/serving/regress"
    answer = inference_pb2.GetModelMetadataResponse()
    answer.model_spec.name, answer.model_spec.version.value = "m", 1
    answer.metadata["signature_def"].value = known.SerializeToString()
    one = server()
    one.add_model("m", lambda inputs: {"outputs": [row["x"][0] for row in inputs["examples"]]})
    one.garble(answer.SerializeToString(), method="GetModelMetadata")
    done = in_process(
        "predict", "m", "--address", one.address, "--example", '{"x": 0.25}', "--json"
    )
    assert printed(done)["results"] == [0.25]


def test_a_table_has_numbers_without_quotes(server):
    one = server()
    big = 2**53 + 1
    one.add_model("m", {
        "f": [float("-inf"), float("nan"), 1.5], "i": [big], "s": ["-Infinity"], "c": [1 + 2j],
        "b": [True, False],
    })  # fmt: skip
    shown = in_process("predict", "m", "--address", one.address).stdout
    assert "-Infinity, NaN, 1.5" in shown
    assert '"-Infinity"' in shown.split("string")[1]  # a text has them
    assert str(big) in shown
    assert "{re: 1, im: 2}" in shown
    assert "true, false" in shown
    found = in_process("predict", "m", "--address", one.address, "--json").stdout
    assert f'"i": [{big}]' in found
    assert "2^53" in in_process("predict", "--help").stdout
