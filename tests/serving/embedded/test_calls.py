"""Deadlines, callers who leave, limits, health and the end, at a server that runs one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from dualtower_clients import encode
from dualtower_clients.codec import decode
from dualtower_clients.proto import inference_pb2, server_config_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture(scope="module")
def server(shared_server, small_config: Path):
    started = shared_server(
        f"--model_config_file={small_config}",
        "--grpc_max_threads=1",
        "--max_open_calls=4",
        "--max_message_bytes=1000000",
        "--max_tensor_bytes=4000000",
        "--max_in_flight_bytes=3000000",
        "--enable_grpc_healthcheck_service",
    )
    started.wait_ready("examples", "slow")
    return started


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as opened:
        yield opened


def asked(signature: str = "", **inputs: object) -> bytes:
    request = inference_pb2.PredictRequest(
        inputs={name: encode(value) for name, value in inputs.items()}
    )
    request.model_spec.name = "slow"
    request.model_spec.signature_name = signature
    return request.SerializeToString()


def runs_so_far(channel: grpc.Channel) -> int:
    raw = channel.unary_unary(PREDICT)(asked("count", any=np.zeros(1, np.int64)), timeout=20)
    return int(decode(inference_pb2.PredictResponse.FromString(raw).outputs["calls"])[0])


def wait_ms(milliseconds: int, rows: int = 1) -> bytes:
    return asked(ms=np.full(rows, milliseconds, np.int64))


def code_of(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_a_run_is_stopped_at_its_callers_deadline(channel) -> None:
    begin = time.monotonic()
    assert code_of(lambda: channel.unary_unary(PREDICT)(wait_ms(15_000), timeout=0.3)) == (
        "DEADLINE_EXCEEDED"
    )
    # the only thread is free again long before the run would have ended by itself
    assert code_of(lambda: channel.unary_unary(PREDICT)(wait_ms(1), timeout=10)) == "OK"
    assert time.monotonic() - begin < 12


def test_who_has_gone_or_is_too_late_is_not_computed(channel) -> None:
    before = runs_so_far(channel)
    call = channel.unary_unary(PREDICT)
    blocker = call.future(wait_ms(700), timeout=20)
    time.sleep(0.2)
    gone = call.future(wait_ms(1), timeout=20)
    late = call.future(wait_ms(1), timeout=0.1)
    time.sleep(0.2)
    gone.cancel()
    assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    blocker.result()
    assert runs_so_far(channel) == before + 1, "the blocker alone ran"


def test_calls_beyond_the_open_ones_are_refused_at_once(channel) -> None:
    call = channel.unary_unary(PREDICT)
    open_calls = [call.future(wait_ms(400), timeout=20) for _ in range(4)]
    time.sleep(0.2)
    assert code_of(lambda: call(wait_ms(1), timeout=20)) == "RESOURCE_EXHAUSTED"
    assert {one.code() for one in open_calls} == {grpc.StatusCode.OK}


def test_a_message_above_the_limit_is_refused(channel) -> None:
    call = channel.unary_unary(PREDICT)
    assert code_of(lambda: call(wait_ms(1, rows=120_000), timeout=20)) == "OK"
    assert code_of(lambda: call(wait_ms(1, rows=130_000), timeout=20)) == "RESOURCE_EXHAUSTED"


def filled(rows: int) -> bytes:
    """A message of a few bytes that asks for a tensor of so many elements."""
    request = inference_pb2.PredictRequest.FromString(wait_ms(1))
    tensor = request.inputs["ms"]
    tensor.ClearField("tensor_content")
    tensor.tensor_shape.dim[0].size = rows
    tensor.int64_val.append(1)
    return request.SerializeToString()


def test_a_tensor_that_a_short_list_would_fill_is_limited(channel) -> None:
    call = channel.unary_unary(PREDICT)
    raw = call(filled(500_000), timeout=20)
    answer = decode(inference_pb2.PredictResponse.FromString(raw).outputs["ms"])
    np.testing.assert_array_equal(answer, np.ones(500_000, np.int64))
    assert code_of(lambda: call(filled(500_001), timeout=20)) == "INVALID_ARGUMENT"
    assert code_of(lambda: call(filled(1 << 62), timeout=20)) == "INVALID_ARGUMENT"


def test_what_all_calls_hold_together_is_limited(channel) -> None:
    request = inference_pb2.PredictRequest.FromString(filled(400_000))
    request.inputs["ms"].int64_val.extend([300, 300])  # no longer a single value: 3.2 MB
    call = channel.unary_unary(PREDICT)
    first = call.future(request.SerializeToString(), timeout=20)
    time.sleep(0.1)
    second = call.future(request.SerializeToString(), timeout=20)
    assert second.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "--max_in_flight_bytes" in second.details()
    assert first.code() == grpc.StatusCode.OK
    assert code_of(lambda: call(request.SerializeToString(), timeout=20)) == "OK"


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("", "OK"),
        ("PredictionService", "OK"),
        ("ModelService", "OK"),
        ("tensorflow.serving.PredictionService", "NOT_FOUND"),
    ],
)
def test_health_knows_the_short_names_alone(channel, service: str, code: str) -> None:
    raw = server_config_pb2.HealthCheckRequest(service=service).SerializeToString()
    assert code_of(lambda: channel.unary_unary(HEALTH)(raw, timeout=20)) == code


def test_the_end_waits_for_running_calls_and_refuses_new_ones(model_server, small_config) -> None:
    server = model_server(f"--model_config_file={small_config}")
    server.wait_ready("slow")
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(PREDICT)
        running = [call.future(wait_ms(1500), timeout=20) for _ in range(3)]
        time.sleep(0.4)
        server.process.terminate()
        time.sleep(0.3)
        assert code_of(lambda: call(wait_ms(1), timeout=0.5)) in {
            "UNAVAILABLE",
            "DEADLINE_EXCEEDED",
        }
        assert {one.code() for one in running} == {grpc.StatusCode.OK}
    assert server.process.wait(20) == 0


def test_the_end_does_not_wait_for_ever(model_server, small_config) -> None:
    server = model_server(f"--model_config_file={small_config}", "--drain_seconds=0.5")
    server.wait_ready("slow")
    with grpc.insecure_channel(server.address) as channel:
        running = channel.unary_unary(PREDICT).future(wait_ms(60_000), timeout=100)
        time.sleep(0.3)
        server.process.terminate()
        assert running.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert server.process.wait(20) == 0


def test_many_callers_at_once_each_get_their_own(model_server, small_models: Path) -> None:
    server = model_server("--model_name=slow", f"--model_base_path={small_models}/slow")
    server.wait_ready("slow")
    wrong: list[object] = []

    def ask(seed: int) -> None:
        random = np.random.default_rng(seed)
        with grpc.insecure_channel(server.address) as channel:
            call = channel.unary_unary(PREDICT)
            for _ in range(50):
                sent = random.integers(-100, 1, random.integers(1, 9))
                raw = call(asked(ms=sent), timeout=20)
                got = decode(inference_pb2.PredictResponse.FromString(raw).outputs["ms"])
                if not np.array_equal(got, sent):
                    wrong.append((sent, got))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
