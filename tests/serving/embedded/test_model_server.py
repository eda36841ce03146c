"""`dualtower-model-server` as a process: calls, refusals, versions, warm-up, the end."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from dualtower_clients import ModelNotFound, RequestError, ServingClient, encode
from dualtower_clients.proto import inference_pb2, management_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METHODS = (
    PREDICT,
    "/tensorflow.serving.PredictionService/GetModelMetadata",
    "/tensorflow.serving.ModelService/GetModelStatus",
    "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
)
QUICK = ("--max_num_load_retries=0", "--tensorflow_intra_op_parallelism=1")


@pytest.fixture(scope="module")
def root(tmp_path_factory, mini_bundle) -> Path:
    """Base paths that the tests of one server share."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(mini_bundle / "serving", folder, dirs_exist_ok=True)
    return folder


def item_tower(tmp_path: Path, bundle: Path) -> Path:
    base = tmp_path / "item_tower"
    shutil.copytree(bundle / "serving" / "item_tower", base)
    return base


def publish(source: Path, base: Path, version: int) -> None:
    staging = base / f"{version}.tmp"
    shutil.copytree(source, staging)
    staging.rename(base / str(version))


def code_of(channel: grpc.Channel, method: str, raw: bytes) -> str:
    try:
        channel.unary_unary(method)(raw, timeout=20)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def call(address: str, method: str, raw: bytes) -> str:
    with grpc.insecure_channel(address) as channel:
        return code_of(channel, method, raw)


def test_one_life_of_a_server(model_server, tmp_path, bundles):
    """Start, answer, refuse, take a new version, keep a good one, survive garbage, drain."""
    base = item_tower(tmp_path, bundles["a1"])
    server = model_server("--model_name=item_tower", f"--model_base_path={base}", *QUICK)
    server.wait_ready("item_tower")
    with ServingClient(server.address) as client:
        first = client.predict("item_tower", {"text": ["a", "b"]})
        assert first.version == 1
        assert first.outputs["embedding"].shape == (2, 4)
        nothing = client.predict("item_tower", {"text": np.zeros(0, object)})
        assert nothing.outputs["embedding"].shape == (0, 4)
        with pytest.raises(RequestError, match="duplicate output tensor alias"):
            client.predict("item_tower", {"text": ["a"]}, outputs=["embedding", "embedding"])
        some = client.predict("item_tower", {}, signature="describe", outputs=["dim", "k_max"])
        assert sorted(some.outputs) == ["dim", "k_max"]

        # a version whose variables are gone, an empty one, and one that cannot be parsed
        publish(base / "1", base, 2)
        shutil.rmtree(base / "2" / "variables")
        (base / "3").mkdir()
        deadline = time.monotonic() + 20
        while not any(one.error_code != "OK" for one in client.status("item_tower")):
            assert time.monotonic() < deadline, server.log
            time.sleep(0.05)
        assert client.predict("item_tower", {"text": ["a"]}).version == 1

        publish(bundles["b2"] / "serving" / "item_tower" / "2", base, 4)
        while client.predict("item_tower", {"text": ["a"]}).version != 4:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.05)
        with pytest.raises(ModelNotFound):
            client.predict("item_tower", {"text": ["a"]}, version=3)

        random, codes = np.random.default_rng(3), set()
        good = inference_pb2.PredictRequest(
            model_spec=inference_pb2.ModelSpec(name="item_tower"),
            inputs={"text": encode(["a", "b"])},
        ).SerializeToString()
        with grpc.insecure_channel(server.address) as channel:
            for number in range(2000):
                raw = bytearray(good) if number % 2 else bytearray(random.bytes(number % 90))
                for position in random.integers(0, max(len(raw), 1), 3):
                    if raw:
                        raw[position] = random.integers(0, 256)
                codes.add(code_of(channel, METHODS[number % 3], bytes(raw)))
            assert not codes & {"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN"}
            assert {"OK", "INTERNAL", "INVALID_ARGUMENT"} <= codes
        np.testing.assert_array_equal(
            client.predict("item_tower", {"text": ["a", "b"]}).outputs["embedding"],
            first.outputs["embedding"],
        )
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_requests_that_ask_for_too_much_memory_are_refused(model_server, root):
    server = model_server("--model_name=item_tower", f"--model_base_path={root}/item_tower", *QUICK)
    server.wait_ready("item_tower")
    request = inference_pb2.PredictRequest()
    request.model_spec.name = "item_tower"
    request.inputs["text"].CopyFrom(encode(["a"]))
    request.inputs["text"].tensor_shape.dim[0].size = 1 << 40  # one value would fill a terabyte
    assert call(server.address, PREDICT, request.SerializeToString()) == "INVALID_ARGUMENT"
    request.inputs["text"].tensor_shape.dim[0].size = -1
    assert call(server.address, PREDICT, request.SerializeToString()) == "INVALID_ARGUMENT"
    assert call(server.address, PREDICT, b"\xff\xff") == "INTERNAL"
    unknown = "/tensorflow.serving.SessionService/SessionRun"
    assert call(server.address, unknown, b"") == "UNIMPLEMENTED"

    # many callers at once are queued, not refused
    failures: list[Exception] = []

    def ask() -> None:
        try:
            for _ in range(10):
                client.predict("item_tower", {"text": ["a"] * 50})
        except Exception as error:
            failures.append(error)

    with ServingClient(server.address, timeout_s=30) as client:
        threads = [threading.Thread(target=ask) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures

    # a second server on this port must not share it
    second = model_server(
        "--model_name=item_tower", f"--model_base_path={root}/item_tower", port=server.port
    )
    assert second.process.wait(30) == 255
    assert f"port {server.port} cannot be used" in second.log


def test_a_whole_configuration_with_labels_is_reloaded(model_server, root, tmp_path):
    config = tmp_path / "models.config"
    one = 'config {{ name: "{0}" base_path: "{1}/{0}" model_platform: "tensorflow" {2} }}'
    config.write_text(f"model_config_list {{ {one.format('item_tower', root, '')} }}")
    server = model_server(
        f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1", *QUICK
    )
    server.wait_ready("item_tower")
    with ServingClient(server.address) as client:
        config.write_text("model_config_list { config { nam: 1 } }")
        time.sleep(1.5)
        assert client.predict("item_tower", {"text": ["a"]}).version == 1
        label = 'version_labels { key: "stable" value: 1 }'
        both = one.format("item_tower", root, label) + one.format("user_tower", root, "")
        config.write_text(f"model_config_list {{ {both} }}")
        client.wait_until_available(["user_tower"], timeout_s=20)
        assert client.predict("item_tower", {"text": ["a"]}, label="stable").version == 1
        with pytest.raises(RequestError, match="Unrecognized servable version label: canary"):
            client.predict("item_tower", {"text": ["a"]}, label="canary")
        request = management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name="gone", base_path=str(root / "nowhere"), model_platform="tensorflow"
        )
        assert call(server.address, METHODS[3], request.SerializeToString()) == "NOT_FOUND"
        assert client.predict("item_tower", {"text": ["a"]}, label="stable").version == 1
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--modle_name=m",), "did you mean --model_name"),
        (("--model_config_file=/nowhere/models.config",), "cannot read the model config file"),
        (("--model_base_path=relative",), "absolute path"),
    ],
)
def test_a_start_that_cannot_succeed_ends_at_once(model_server, flags, message):
    server = model_server(*flags)
    assert server.process.wait(10) == 255
    assert message in server.log
    assert "Traceback" not in server.log


def test_a_broken_model_stops_the_start(model_server, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    server = model_server("--model_name=m", f"--model_base_path={tmp_path}/m", *QUICK)
    assert server.process.wait(60) == 255
    assert "1 servable(s) did not become available" in server.log
    assert "saved_model.pb" in server.log
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("localhost", server.port))


@pytest.mark.parametrize("content", [b"no records", b"\xff" * 100], ids=["text", "bytes"])
def test_a_warm_up_that_fails_stops_the_start_unless_it_is_off(
    model_server, tmp_path, mini_bundle, content
):
    base = item_tower(tmp_path, mini_bundle)
    (base / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(content)
    flags = ("--model_name=item_tower", f"--model_base_path={base}", *QUICK)
    without = model_server(*flags, "--enable_model_warmup=false")
    server = model_server(*flags)
    assert server.process.wait(60) == 255
    assert "tf_serving_warmup_requests" in server.log
    without.wait_ready("item_tower")


def test_it_waits_for_a_first_version_and_ends_on_a_signal_meanwhile(
    model_server, tmp_path, mini_bundle
):
    flags = ("--model_name=item_tower", f"--model_base_path={tmp_path}/item_tower", *QUICK)
    waiting = model_server(*flags)
    server = model_server(*flags)
    while "cannot be listed" not in server.log or "cannot be listed" not in waiting.log:
        assert server.process.poll() is None, server.log
        time.sleep(0.05)
    assert waiting.stop() == 0
    item_tower(tmp_path, mini_bundle)
    server.wait_ready("item_tower")


def test_a_unix_socket_beside_the_port(model_server, root, tmp_path):
    path = tmp_path / "s.sock"
    server = model_server(
        "--model_name=item_tower",
        f"--model_base_path={root}/item_tower",
        f"--grpc_socket_path={path}",
        *QUICK,
    )
    server.wait_ready("item_tower")
    with ServingClient(f"unix:{path}") as client:
        assert client.predict("item_tower", {"text": ["a"]}).version == 1
