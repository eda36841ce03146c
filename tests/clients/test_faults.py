"""What a client does when the server does not do what it should: always a named error."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress

import grpc
import numpy as np
import pytest
from scripted_server import ScriptedServer, failing, waiting_for

from dualtower.errors import UsageError
from dualtower_clients import (
    BalancePolicy,
    CallCancelled,
    CallPolicy,
    DeadlineExceeded,
    ModelNotFound,
    Recommender,
    RequestError,
    ResponseError,
    RetryPolicy,
    ServerUnreachable,
    ServingClient,
    TensorError,
    encode,
    encode_values,
)
from dualtower_clients.proto import inference_pb2, management_pb2
from dualtower_serving import start
from dualtower_serving.launch import free_port


def answer_of(**outputs) -> bytes:
    response = inference_pb2.PredictResponse()
    response.model_spec.version.value = 1
    for alias, value in outputs.items():
        response.outputs[alias].CopyFrom(encode_values(value))
    return response.SerializeToString()


def described(**changes) -> bytes:
    facts = {
        "fingerprint": ["ab" * 32],
        "bundle_version": np.int64([1]),
        "dim": np.int32([2]),
        "history_items": np.int32([3]),
        "item_tokens": np.int32([4]),
        "k_max": np.int32([5]),
    } | changes
    return answer_of(**{alias: value for alias, value in facts.items() if value is not None})


def test_nobody_listens():
    address = f"localhost:{free_port()}"
    with pytest.raises(ServerUnreachable, match=address) as caught:
        Recommender(address)
    assert caught.value.retryable
    assert "dualtower serve" in str(caught.value)


def test_waiting_for_a_server_that_never_comes_ends():
    with pytest.raises(DeadlineExceeded, match="user_tower"):
        Recommender(f"localhost:{free_port()}", wait_s=0.5)


def test_a_server_killed_in_the_middle_of_a_call(bundles):
    texts = np.array(["a long text " * 200] * 20_000, object)

    def ask_until_it_fails() -> None:
        while True:
            client.predict("item_tower", {"text": texts}, timeout_s=60)

    with (
        start(bundles["a1"], engine="embedded") as server,
        ServingClient(server.address) as client,
    ):
        client.predict("item_tower", {"text": ["a"]})
        killer = threading.Timer(0.15, os.kill, (server.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(ServerUnreachable):
            ask_until_it_fails()
        killer.join()
        with pytest.raises(ServerUnreachable):
            client.predict("item_tower", {"text": ["a"]})


def test_a_server_that_comes_back_is_found_and_checked_anew(bundles):
    port = free_port()
    with start(bundles["a1"], engine="embedded", port=port) as server:
        client = Recommender(server.address)
        first = client.recommend([], k=1)
    with pytest.raises(ServerUnreachable):
        client.recommend([], k=1)
    # the same version number, but another bundle: only asking again can tell
    with start(bundles["b1"], engine="embedded", port=port):
        deadline = time.monotonic() + 10
        while True:
            try:
                second = client.recommend([], k=1)
                break
            except ServerUnreachable:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    client.close()
    assert (first.version, second.version) == (1, 1)
    assert first.fingerprint != second.fingerprint


def test_a_deadline_holds(scripted, client_of):
    release = threading.Event()
    address = scripted(waiting_for(release))
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        client_of(address).predict("m", {}, timeout_s=0.2)
    with pytest.raises(DeadlineExceeded, match=r"0\.1 s"):
        client_of(address, timeout_s=0.1).status("m")
    for over_s in (0, -1):
        with pytest.raises(DeadlineExceeded):
            client_of(address).predict("m", {}, timeout_s=over_s)
    release.set()


@pytest.fixture
def half_open():
    """The address of a socket that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_silent_connection_ends_with_the_deadline(half_open, client_of):
    with pytest.raises((DeadlineExceeded, ServerUnreachable)):
        client_of(half_open).predict("m", {}, timeout_s=0.3)


def test_a_silent_connection_costs_an_attempt_where_there_is_another_server(
    half_open, server, client_of
):
    up = server()
    policy = CallPolicy(
        retry=RetryPolicy(attempt_timeout_s=0.2), balance=BalancePolicy(pick="round_robin")
    )
    client = client_of([half_open, up.address], policy=policy)
    assert [client.predict("m", {}).address for _ in range(4)] == [up.address] * 4


def test_a_server_that_hangs_up_at_once_is_unreachable(client_of):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hanging_up = threading.Thread(target=_hang_up, args=(listening,), daemon=True)
        hanging_up.start()
        with pytest.raises(ServerUnreachable):
            client_of(f"127.0.0.1:{listening.getsockname()[1]}").predict("m", {}, timeout_s=5)
        listening.shutdown(socket.SHUT_RDWR)
    hanging_up.join()


def _hang_up(listening: socket.socket) -> None:
    with suppress(OSError):
        while True:
            listening.accept()[0].close()


def test_deadlines_that_end_together_on_many_threads_are_named_errors(scripted):
    release = threading.Event()
    found: list[type] = []

    def ask() -> None:
        for _ in range(5):
            try:
                client.predict("m", {}, timeout_s=0.05)
            except BaseException as error:
                found.append(type(error))

    with ServingClient(scripted(waiting_for(release))) as client:
        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    release.set()
    assert found == [DeadlineExceeded] * 120


def test_one_of_two_servers_goes_and_comes_back_and_no_caller_notices(server):
    steady, port = server(threads=8), free_port()
    leaving = server(address=f"127.0.0.1:{port}", threads=8)
    stop = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                client.predict("m", {})
            except BaseException as error:
                failures.append(error)

    policy = CallPolicy(balance=BalancePolicy(eject_s=0.05, max_eject_s=0.1))
    with ServingClient([steady.address, leaving.address], policy=policy) as client:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            _wait_for_calls(leaving)
            leaving.stop()
            time.sleep(0.1)
            leaving = server(address=f"127.0.0.1:{port}", threads=8)
        _wait_for_calls(leaving)
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


def _wait_for_calls(server: ScriptedServer) -> None:
    deadline = time.monotonic() + 30
    while server.calls.total() < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x00" * 40])
def test_garbage_is_no_answer(scripted, client_of, garbage):
    address = scripted(lambda method, request, context: garbage)
    client = client_of(address)
    for call in (
        lambda: client.predict("m", {}),
        lambda: client.metadata("m"),
        lambda: client.classify("m", [{}]),
        lambda: client.regress("m", [{}]),
        lambda: client.multi_inference("m", {"s": "regress"}, [{}]),
    ):
        with pytest.raises(ResponseError, match=address):
            call()


def test_random_bytes_are_a_named_error_or_an_answer(scripted):
    random = np.random.default_rng(5)
    sent = []

    def answer(method, request, context):
        sent.append(random.bytes(random.integers(0, 40)))
        return sent[-1]

    refused = 0
    with ServingClient(scripted(answer)) as client:
        for place in range(300):
            try:
                found = client.status("m") if place % 2 else client.predict("m", {}).outputs
                assert not found or sent[-1], "nothing comes out of no byte"
            except ResponseError:
                assert sent[-1], "no byte is an empty message"
                refused += 1
            assert len(sent) == place + 1, "an answer that cannot be read is not asked for again"
    assert 0 < refused < 300


def test_a_tensor_in_the_answer_that_does_not_hold_together(scripted):
    response = inference_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(encode(np.float32([1, 2])))
    response.outputs["y"].tensor_content = b"odd"
    address = scripted(lambda method, request, context: response.SerializeToString())
    with ServingClient(address) as client, pytest.raises(ResponseError, match="output 'y'"):
        client.predict("m", {})


def test_answers_far_above_grpcs_own_limit_arrive(scripted, client_of):
    big = np.arange(4_000_000, dtype=np.float32).reshape(1000, 4000)  # 16 MB, four times the limit
    address = scripted(lambda method, request, context: answer_of(embedding=big))
    answer = client_of(address).predict("m", {"text": np.array(["x" * 5_000_000], object)})
    np.testing.assert_array_equal(answer.outputs["embedding"], big)


def test_a_server_that_is_no_model_server(scripted):
    def refuse(method, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    with ServingClient(scripted(refuse)) as client, pytest.raises(RequestError, match="REST port"):
        client.predict("m", {})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"fingerprint": None}, "fingerprint"),
        ({"k_max": ["five"]}, "k_max"),
        ({"dim": np.zeros(0, np.int32)}, "dim"),
    ],
)
def test_a_description_that_lacks_something(scripted, changes, what):
    address = scripted(lambda method, request, context: described(**changes))
    with pytest.raises(ResponseError, match=what):
        Recommender(address)


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"item_ids": [["a"]], "scores": np.zeros((1, 2), np.float32)},
        {"item_ids": ["a"], "scores": np.zeros(1, np.float32)},
        {"item_ids": [["a"], ["b"]], "scores": np.zeros((2, 1), np.float32)},
    ],
)
def test_recommendations_of_the_wrong_shape(scripted, outputs):
    def answer(method, request, context):
        spec = inference_pb2.PredictRequest.FromString(request).model_spec
        return described() if spec.signature_name == "describe" else answer_of(**outputs)

    with Recommender(scripted(answer)) as client, pytest.raises(ResponseError):
        client.recommend([], k=1)


def test_embeddings_of_another_length_than_described(scripted):
    def answer(method, request, context):
        spec = inference_pb2.PredictRequest.FromString(request).model_spec
        if spec.signature_name == "describe":
            return described()
        return answer_of(embedding=np.zeros((1, 3), np.float32))

    with (
        Recommender(scripted(answer)) as client,
        pytest.raises(ResponseError, match="described as 2"),
    ):
        client.embed_items(["a"])


def test_a_version_that_is_not_loaded(served):
    with ServingClient(served.address) as client:
        with pytest.raises(ModelNotFound, match=r"Specific\(item_tower, 99\)"):
            client.predict("item_tower", {"text": ["a"]}, version=99)
        with pytest.raises(ModelNotFound, match="nobody"):
            client.status("nobody")


def test_a_request_that_the_server_refuses(served):
    with ServingClient(served.address) as client:
        with pytest.raises(RequestError, match="input size does not match") as caught:
            client.predict("item_tower", {})
        assert not caught.value.retryable
        with pytest.raises(RequestError, match='"nope" not found'):
            client.predict("item_tower", {"text": ["a"]}, signature="nope")
        with pytest.raises(TensorError, match="input 'text' of 'item_tower'"):
            client.predict("item_tower", {"text": [object()]})


def test_a_closed_client_says_so(served, client_of):
    client = client_of(served.address)
    client.status("item_tower")
    client.close()
    client.close()
    with pytest.raises(CallCancelled, match="closed"):
        client.status("item_tower")


def test_closing_ends_a_running_call_and_a_pause(server):
    release = threading.Event()
    one = server(waiting_for(release))
    for policy in (CallPolicy(), CallPolicy(retry=RetryPolicy(initial_pause_s=99, max_pause_s=99))):
        client = ServingClient(one.address, timeout_s=200, policy=policy)
        closing = threading.Timer(0.2, client.close)
        closing.start()
        with pytest.raises(CallCancelled):
            client.predict("m", {})
        closing.join()
        one.answer = failing("UNAVAILABLE")
    release.set()


def test_a_reload_has_one_address(client_of):
    with pytest.raises(UsageError, match="a client for each"):
        client_of(["a:1", "b:1"]).reload(management_pb2.ModelServerConfig())


def test_models_that_are_waited_for(server, client_of):
    seen = []

    def answer(method, request, context):
        model = management_pb2.GetModelStatusRequest.FromString(request).model_spec.name
        seen.append(model)
        if seen.count(model) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
        response = management_pb2.GetModelStatusResponse()
        state = "AVAILABLE" if seen.count(model) > 2 else "LOADING"
        response.model_version_status.add(
            version=1, state=management_pb2.ModelVersionStatus.State.Value(state)
        )
        return response.SerializeToString()

    one = server(answer)
    client_of(one.address).wait_until_available(["a", "b"], timeout_s=60)
    assert seen == ["a", "a", "a", "b", "b", "b"], "each question is asked once"
    one.answer = failing("NOT_FOUND", "Could not find any versions of model c")
    with pytest.raises(DeadlineExceeded, match=r"'c'.*any versions of model c"):
        client_of(one.address).wait_until_available(["c"], timeout_s=0.3)
