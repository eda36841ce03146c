"""What clients branch on, of any server with TensorFlow Serving's API. By default it is ours:

DUALTOWER_SERVER_CMD='tensorflow_model_server {flags}' pytest tests/integration/test_any_server.py
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest

from dualtower.bundle import MODELS
from dualtower_clients import Recommender, ServingClient, encode
from dualtower_clients.proto import inference_pb2, management_pb2
from dualtower_serving.launch import free_port

PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"
TEXT = encode(["salted butter"])


@pytest.fixture(scope="module")
def served(tmp_path_factory, mini_bundle, shared_server):
    """A server of the mini bundle with batching, REST and metrics; (gRPC, REST) addresses."""
    serving = mini_bundle / "serving"
    config = tmp_path_factory.mktemp("served") / "models.config"
    text = (serving / "models.config").read_text()
    config.write_text(text.replace('"/models/', f'"{serving}/'))
    rest_port = free_port()
    server = shared_server(
        f"--model_config_file={config}",
        f"--rest_api_port={rest_port}",
        "--enable_batching",
        f"--batching_parameters_file={serving}/batching.config",
        f"--monitoring_config_file={serving}/monitoring.config",
    )
    server.wait_ready(*MODELS)
    return server.address, f"localhost:{rest_port}"


def predict(**fields) -> inference_pb2.PredictRequest:
    """A request to the item tower, unless `name` says otherwise."""
    request = inference_pb2.PredictRequest()
    spec = request.model_spec
    spec.name = fields.pop("name", "item_tower")
    if "version" in fields:
        spec.version.value = fields.pop("version")
    if "label" in fields:
        spec.version_label = fields.pop("label")
    spec.signature_name = fields.pop("signature", "")
    for alias, tensor in fields.pop("inputs", {"text": TEXT}).items():
        request.inputs[alias].CopyFrom(tensor)
    request.output_filter.extend(fields.pop("outputs", ()))
    assert not fields
    return request


def damaged():
    tensor = type(TEXT)()
    tensor.CopyFrom(TEXT)
    tensor.tensor_shape.dim[0].size = -1
    return tensor


REFUSED = {
    "no spec": (inference_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no name": (predict(name=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "unknown model": (
        predict(name="nobody"), "NOT_FOUND", "Servable not found for request: Latest(nobody)",
    ),
    "unknown version": (
        predict(version=9), "NOT_FOUND", "Servable not found for request: Specific(item_tower, 9)",
    ),
    "zero is a version": (
        predict(version=0), "NOT_FOUND", "Servable not found for request: Specific(item_tower, 0)",
    ),
    "unknown label": (
        predict(label="gold"), "INVALID_ARGUMENT", "Unrecognized servable version label: gold",
    ),
    "unknown signature": (
        predict(signature="zz"), "FAILED_PRECONDITION", 'Serving signature key "zz" not found.',
    ),
    "no inputs": (
        predict(inputs={}), "INVALID_ARGUMENT", "input size does not match signature: 0!=1",
    ),
    "wrong input": (
        predict(inputs={"txt": TEXT}), "INVALID_ARGUMENT", "Signature input alias: text(feed name:",
    ),
    "broken tensor": (
        predict(inputs={"text": damaged()}), "INVALID_ARGUMENT", "tensor parsing error: text",
    ),
    "unknown output": (
        predict(outputs=["no"]), "INVALID_ARGUMENT",
        "output tensor alias not found in signature: no Outputs expected to be in the set "
        "{embedding}.",
    ),
    "output twice": (
        predict(outputs=["embedding"] * 2), "INVALID_ARGUMENT",
        "duplicate output tensor alias: embedding",
    ),
    "more rows than a batch": (
        predict(inputs={"text": encode(["a"] * 33)}), "INVALID_ARGUMENT",
        "Task size 33 is larger than maximum input batch size 32",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def call(served):
    """Sends a message; returns (code, details)."""
    with grpc.insecure_channel(served[0]) as channel:

        def send(method: str, request) -> tuple[str, str]:
            try:
                channel.unary_unary(method)(request.SerializeToString(), timeout=30)
            except grpc.RpcError as error:
                return error.code().name, error.details()
            return "OK", ""

        yield send


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_its_code_and_its_words(call, case: str) -> None:
    request, code, words = REFUSED[case]
    got, details = call(f"{PREDICTION}Predict", request)
    assert (got, details[: len(words)]) == (code, words)


@pytest.mark.parametrize(
    ("method", "request_", "code", "words"),
    [
        (
            f"{MODEL}GetModelStatus",
            management_pb2.GetModelStatusRequest(),
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        ),
        (
            f"{MODEL}GetModelStatus",
            management_pb2.GetModelStatusRequest(model_spec={"name": "nobody"}),
            "NOT_FOUND",
            "Could not find any versions of model nobody",
        ),
        (
            f"{PREDICTION}GetModelMetadata",
            inference_pb2.GetModelMetadataRequest(model_spec={"name": "item_tower"}),
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            f"{PREDICTION}GetModelMetadata",
            inference_pb2.GetModelMetadataRequest(
                model_spec={"name": "item_tower"}, metadata_field=["foo"]
            ),
            "INVALID_ARGUMENT",
            "Metadata field foo is not supported",
        ),
        (f"{PREDICTION}Guess", inference_pb2.PredictRequest(), "UNIMPLEMENTED", ""),
    ],
)
def test_other_methods_refuse_alike(call, method: str, request_, code: str, words: str) -> None:
    got, details = call(method, request_)
    assert (got, details[: len(words)]) == (code, words)


def test_an_answer_says_who_gave_it(served) -> None:
    with ServingClient(served[0]) as client:
        answer = client.predict("item_tower", {"text": ["a", "b"]})
        assert (answer.version, answer.outputs["embedding"].shape) == (1, (2, 4))
        facts = client.predict("item_tower", {}, signature="describe", outputs=["dim"])
        assert facts.outputs.keys() == {"dim"}  # the input has a default
        assert [one.state for one in client.status("user_tower")] == ["AVAILABLE"]
        assert client.metadata("recommender").signatures["serving_default"].inputs.keys() == {
            "history", "exclude",
        }  # fmt: skip
    with Recommender(served[0]) as recommender:
        assert len(recommender.recommend(["item number 3"], k=3).item_ids) == 3


def rest(address: str, path: str, body: object = None) -> tuple[int, object]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data=data)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_rest_says_what_grpc_says(served) -> None:
    with ServingClient(served[0]) as client:
        expected = client.predict("item_tower", {"text": ["a", "b"]}).outputs["embedding"]
    path = "/v1/models/item_tower:predict"
    b64 = {"b64": base64.b64encode(b"b").decode()}
    for body, key in (
        ({"instances": ["a", "b"]}, "predictions"),
        ({"instances": [{"text": "a"}, {"text": b64}]}, "predictions"),
        ({"inputs": {"text": ["a", "b"]}}, "outputs"),
        ({"inputs": ["a", b64], "signature_name": "serving_default"}, "outputs"),
    ):
        code, answer = rest(served[1], path, body)
        assert code == 200
        np.testing.assert_allclose(answer[key], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        ("/v1/models/nobody", None, 404, "Could not find any versions of model nobody"),
        ("/v1/models/nobody:predict", {"instances": ["a"]}, 404, "Servable not found for request"),
        ("/v1/models/item_tower:predict", {"a": 1}, 400, "Missing 'inputs' or 'instances' key"),
        ("/v1/models/item_tower:guess", {"a": 1}, 400, "Malformed request: POST /v1/models/item_"),
        ("/v1/nothing", None, 400, "Malformed request: GET /v1/nothing"),
    ],
)
def test_rest_refuses(served, path: str, body: object, code: int, words: str) -> None:
    got, answer = rest(served[1], path, body)
    assert got == code
    assert answer["error"].startswith(words)


def test_rest_shows_the_state_of_the_models(served) -> None:
    ok = {"error_code": "OK", "error_message": ""}
    expected = [{"version": "1", "state": "AVAILABLE", "status": ok}]
    for model in MODELS:
        assert rest(served[1], f"/v1/models/{model}") == (200, {"model_version_status": expected})
    code, metadata = rest(served[1], "/v1/models/user_tower/metadata")
    assert code == 200
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() >= {"serving_default", "from_item_ids", "describe"}


def test_prometheus_finds_what_dashboards_ask_for(served) -> None:
    with ServingClient(served[0]) as client:
        client.predict("user_tower", {"history": [["a"]]})
    url = f"http://{served[1]}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    for start in (
        ':tensorflow:serving:request_count{model_name="user_tower",status="OK"}',
        ':tensorflow:serving:request_latency_bucket{model_name="user_tower",API="Predict",',
        ":tensorflow:serving:batching_session:queuing_latency_bucket{",
        ":tensorflow:serving:batching_session:wrapped_run_count",
        ":tensorflow:cc:saved_model:load_attempt_count{",
    ):
        assert any(line.startswith(start) for line in lines), start
    loads = [line for line in lines if "load_attempt_count{" in line]
    for model in MODELS:  # the alert on mixed pairs reads versions from these paths
        assert any(f'{model}/1",status="success"' in line for line in loads), loads
