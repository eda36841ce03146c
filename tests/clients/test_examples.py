"""Classify, Regress and MultiInference: requests as TensorFlow reads them, and a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dualtower.errors import UsageError
from dualtower_clients import RequestError, ResponseError, TensorError, _examples, _requests
from dualtower_clients.proto import examples_pb2

BUILDER = Path(__file__).parent.parent / "serving" / "embedded" / "small_models.py"


def sent(examples, context=None) -> examples_pb2.Input:
    spec = _requests.model_spec("m")
    raw = _examples.regression(spec, examples, context)
    return examples_pb2.RegressionRequest.FromString(raw).input


@pytest.mark.parametrize(
    ("value", "kind", "want"),
    [
        (3, "int64_list", [3]),
        (True, "int64_list", [1]),
        ([1, -(2**63)], "int64_list", [1, -(2**63)]),
        (0.5, "float_list", [0.5]),
        ([1, 0.5], "float_list", [1.0, 0.5]),
        (np.float32([0.25, 2]), "float_list", [0.25, 2.0]),
        (np.int16([7]), "int64_list", [7]),
        (np.float32(0.25), "float_list", [0.25]),
        (np.array([True, False]), "int64_list", [1, 0]),
        ("é", "bytes_list", ["é".encode()]),
        (b"\xff", "bytes_list", [b"\xff"]),
        (["a", b"b"], "bytes_list", [b"a", b"b"]),
        (("a", "b"), "bytes_list", [b"a", b"b"]),
        (np.array(["a", "b"]), "bytes_list", [b"a", b"b"]),
        ([], None, None),
    ],
    ids=repr,
)
def test_the_kind_of_the_values_decides_which_list(value, kind, want):
    (example,) = sent([{"f": value}]).example_list.examples
    feature = example.features.feature["f"]
    assert feature.WhichOneof("kind") == kind
    if kind:
        assert list(getattr(feature, kind).value) == want


@pytest.mark.parametrize(
    "value",
    [None, [None], [1, "a"], [0.5, b"a"], [[1, 2], [3]], 2**63, {"a": 1}, 1j, "\ud800", object()],
    ids=lambda value: ascii(value)[:12],
)
def test_what_is_no_feature_is_named(value):
    with pytest.raises(TensorError, match="feature 'f' of example 1 of 'm'"):
        sent([{"f": 1}, {"f": value}])


def test_a_matrix_is_no_feature():
    with pytest.raises(TensorError, match="2 dimensions"):
        sent([{"f": np.zeros((2, 2))}])


def test_a_single_example_is_put_into_a_list_by_the_caller():
    with pytest.raises(UsageError, match="put it into a list"):
        sent({"f": 1})


def test_what_examples_share_is_sent_once():
    given = sent([{"x": 1}, {"x": 2}], {"shared": "a"})
    assert given.WhichOneof("kind") == "example_list_with_context"
    assert len(given.example_list_with_context.examples) == 2
    assert "shared" in given.example_list_with_context.context.features.feature


@pytest.fixture(scope="module")
def small_server(shared_server, made_once):
    folder = made_once(
        "small-models",
        lambda folder: subprocess.run(
            [sys.executable, BUILDER, folder], check=True, capture_output=True
        ),
    )
    one = shared_server("--model_name=examples", f"--model_base_path={folder / 'examples'}")
    one.wait_ready("examples")
    return one


def test_regress_gives_a_value_for_each_example(small_server, client_of):
    client = client_of(small_server.address)
    found = client.regress("examples", [{"x": 0.25}, {"x": 4.0, "w": 0.5}, {"x": -1.0}])
    np.testing.assert_array_equal(found.values, np.float32([0.25, 2.0, -1.0]))
    assert found.values.dtype == np.float32
    assert (found.model, found.version, found.signature) == ("examples", 1, "serving_default")
    assert (found.address, found.attempts) == (small_server.address, 1)


def test_an_examples_own_features_win_over_the_shared_ones(small_server, client_of):
    found = client_of(small_server.address).regress(
        "examples", [{"x": 1.0}, {"x": 1.0, "w": 3.0}], context={"w": 0.5}
    )
    assert found.values.tolist() == [0.5, 3.0]


def test_a_server_refuses_whole_numbers_where_it_wants_fractions(small_server, client_of):
    with pytest.raises(RequestError, match=r"(?i)int64"):
        client_of(small_server.address).regress("examples", [{"x": 1}])


def test_no_examples_are_refused_by_the_server(small_server, client_of):
    with pytest.raises(RequestError, match="Input is empty"):
        client_of(small_server.address).classify("examples", [], signature="classify")


def classified(*rows: list[tuple[str, float]]) -> examples_pb2.ClassificationResult:
    result = examples_pb2.ClassificationResult()
    for row in rows:
        entry = result.classifications.add()
        for label, score in row:
            entry.classes.add(label=label, score=score)
    return result


def test_classify_gives_labels_and_scores_of_each_example(garbled, client_of):
    response = examples_pb2.ClassificationResponse(
        result=classified([("a", 0.25), ("b", 0.75)], [])
    )
    response.model_spec.version.value = 3
    client = client_of(garbled(response.SerializeToString()))
    found = client.classify("m", [{"x": 1.0}, {"x": 2.0}])
    first, second = found.examples
    assert (first.labels, first.scores.tolist()) == (("a", "b"), [0.25, 0.75])
    assert (second.labels, second.scores.shape) == ((), (0,))
    assert found.version == 3


def test_a_label_that_is_no_text_is_an_answer_that_cannot_be_read(garbled, client_of):
    response = examples_pb2.ClassificationResponse(result=classified([("label?", 0.5)]))
    raw = response.SerializeToString().replace(b"label?", b"label\xff")
    with pytest.raises(ResponseError, match="no ClassificationResponse"):
        client_of(garbled(raw)).classify("m", [{"x": 1.0}])


def test_several_signatures_in_one_run(server, client_of):
    response = examples_pb2.MultiInferenceResponse()
    response.results.add(classification_result=classified([("a", 0.5)]))
    response.results.add().regression_result.regressions.add(value=2.5)
    one = server()
    one.garble(response.SerializeToString())
    client = client_of(one.address)
    tasks = {"by_class": "classify", "by_value": "regress"}
    found = client.multi_inference("m", tasks, [{"x": 1.0}], version=2)
    assert list(found) == list(tasks)
    assert found["by_class"].examples[0].labels == ("a",)
    assert found["by_value"].values.tolist() == [2.5]
    (call,) = one.calls
    request = examples_pb2.MultiInferenceRequest.FromString(call.request)
    assert [one.method_name for one in request.tasks] == [
        "tensorflow/serving/classify",
        "tensorflow/serving/regress",
    ]
    assert {one.model_spec.version.value for one in request.tasks} == {2}


def test_a_model_server_runs_several_signatures(small_server, client_of):
    found = client_of(small_server.address).multi_inference(
        "examples", {"serving_default": "regress", "classify": "classify"}, [{"x": 0.5}]
    )
    assert found["serving_default"].values.tolist() == [0.5]
    (only,) = found["classify"].examples
    assert only.scores.tolist() == [0.5, 0.5]
    assert only.labels[0] == "low"


@pytest.mark.parametrize(
    "response",
    [
        examples_pb2.MultiInferenceResponse(),
        examples_pb2.MultiInferenceResponse(results=[examples_pb2.InferenceResult()]),
    ],
    ids=["no result", "an empty result"],
)
def test_results_that_do_not_fit_the_tasks(garbled, client_of, response):
    client = client_of(garbled(response.SerializeToString()))
    with pytest.raises(ResponseError, match=r"result"):
        client.multi_inference("m", {"a": "regress"}, [{"x": 1.0}])


def test_tasks_are_classify_and_regress(client_of):
    client = client_of("127.0.0.1:1")
    with pytest.raises(UsageError, match="one of classify, regress; got 'predict'"):
        client.multi_inference("m", {"a": "predict"}, [{"x": 1.0}])
    with pytest.raises(UsageError, match="at least one signature"):
        client.multi_inference("m", {}, [{"x": 1.0}])
