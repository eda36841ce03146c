"""Classify, Regress and MultiInference through a server, by the official stubs and messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

REGRESS = "tensorflow/serving/regress"
CLASSIFY = "tensorflow/serving/classify"


@pytest.fixture(scope="module")
def stub(
    shared_server: Callable[..., object], small_config: Path
) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    server = shared_server(f"--model_config_file={small_config}")
    server.wait_ready("examples", "slow")
    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def example(**features: float) -> example_pb2.Example:
    made = example_pb2.Example()
    for name, value in features.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def examples(*listed: example_pb2.Example) -> input_pb2.Input:
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=listed))


def regress(stub, given: input_pb2.Input, signature: str = "", model: str = "examples"):
    request = regression_pb2.RegressionRequest(input=given)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    return stub.Regress(request, timeout=20)


def classify(stub, given: input_pb2.Input, signature: str = "classify"):
    request = classification_pb2.ClassificationRequest(input=given)
    request.model_spec.name = "examples"
    request.model_spec.signature_name = signature
    return stub.Classify(request, timeout=20)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def test_regress_gives_a_value_for_each_example_in_order(stub) -> None:
    answer = regress(stub, examples(example(x=0.25), example(x=4.0, w=0.5), example(x=-1.0)))
    assert [one.value for one in answer.result.regressions] == [0.25, 2.0, -1.0]
    assert answer.model_spec.signature_name == "serving_default"
    assert answer.model_spec.version.value == 1


def test_what_examples_share_is_overruled_by_their_own(stub) -> None:
    shared = input_pb2.ExampleListWithContext(
        context=example(w=0.5), examples=[example(x=1.0), example(x=1.0, w=3.0)]
    )
    answer = regress(stub, input_pb2.Input(example_list_with_context=shared))
    assert [one.value for one in answer.result.regressions] == [0.5, 3.0]


def test_classify_pairs_labels_and_scores(stub) -> None:
    answer = classify(stub, examples(example(x=0.25), example(x=0.75)))
    rows = [
        [(one.label, one.score) for one in row.classes] for row in answer.result.classifications
    ]
    assert rows == [
        [("low", 0.75), ("h\N{REPLACEMENT CHARACTER}", 0.25)],
        [("low", 0.25), ("h\N{REPLACEMENT CHARACTER}", 0.75)],
    ]


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("other_rows", "Input batch size did not match output batch size: 2 vs. 1"),
        ("wide", r"[batch_size] or [batch_size, 1] but got [2,2]"),
        ("whole_numbers", "Expected output Tensor of DT_FLOAT."),
        ("classify", "Expected one output Tensor."),
        ("nope", "No signature was found with the name: nope"),
    ],
)
def test_a_signature_that_is_no_regression(stub, signature: str, message: str) -> None:
    code, text = refused(lambda: regress(stub, examples(example(x=1.0), example(x=2.0)), signature))
    assert code == "INVALID_ARGUMENT"
    assert message in text


def test_labels_and_scores_of_different_widths_are_refused(stub) -> None:
    code, text = refused(lambda: classify(stub, examples(example(x=1.0)), "uneven"))
    assert (code, text) == (
        "INVALID_ARGUMENT",
        "Tensors class and score should match in dim_size(1). Got 1 vs. 2",
    )


@pytest.mark.parametrize("given", [input_pb2.Input(), examples()])
def test_no_example_at_all(stub, given: input_pb2.Input) -> None:
    assert refused(lambda: regress(stub, given)) == ("INVALID_ARGUMENT", "Input is empty.")


def test_an_example_without_a_required_feature(stub) -> None:
    code, text = refused(lambda: regress(stub, examples(example(x=1.0), example(w=1.0))))
    assert code == "INVALID_ARGUMENT"
    assert "x" in text


def tasks(*asked: tuple[str, str, str]) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest(input=examples(example(x=0.5), example(x=1.0)))
    for model, signature, method in asked:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    return request


def test_several_signatures_over_the_same_examples(stub) -> None:
    request = tasks(("examples", "classify", CLASSIFY), ("examples", "", REGRESS))
    first, second = stub.MultiInference(request, timeout=20).results
    scores = [
        [one.score for one in row.classes] for row in first.classification_result.classifications
    ]
    assert scores == [[0.5, 0.5], [0.0, 1.0]]
    assert [one.value for one in second.regression_result.regressions] == [0.5, 1.0]
    assert [first.model_spec.signature_name, second.model_spec.signature_name] == [
        "classify",
        "serving_default",
    ]


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            [("examples", "", REGRESS), ("", "classify", CLASSIFY)],
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name.",
        ),
        (
            [("examples", "", REGRESS), ("slow", "", REGRESS)],
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [("examples", "", REGRESS), ("examples", "serving_default", REGRESS)],
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            [("examples", "nope", REGRESS)],
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: nope",
        ),
        (
            [("examples", "", "tensorflow/serving/predict")],
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        ([("nope", "", REGRESS)], "NOT_FOUND", "Servable not found for request: Latest(nope)"),
    ],
)
def test_tasks_that_do_not_go_together(stub, asked, code: str, message: str) -> None:
    assert refused(lambda: stub.MultiInference(tasks(*asked), timeout=20)) == (code, message)
