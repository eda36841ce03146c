"""What a client does when the server does not do what it should: always a named error."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

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
from dualtower_clients.testing import Refusal, Wire
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


def test_a_server_killed_in_the_middle_of_a_call_comes_back_and_is_checked_anew(bundles):
    texts = np.array(["a long text " * 200] * 20_000, object)
    port = free_port()

    def ask_until_it_fails() -> None:
        while True:
            client.predict("item_tower", {"text": texts}, timeout_s=60)

    with (
        start(bundles["a1"], engine="embedded", port=port) as server,
        ServingClient(server.address) as client,
    ):
        recommender = Recommender(server.address)
        first = recommender.recommend([], k=1)
        client.predict("item_tower", {"text": ["a"]})
        killer = threading.Timer(0.15, os.kill, (server.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(ServerUnreachable):
            ask_until_it_fails()
        killer.join()
        with pytest.raises(ServerUnreachable):
            client.predict("item_tower", {"text": ["a"]})
    with pytest.raises(ServerUnreachable):
        recommender.recommend([], k=1)
    # the same version number, but another bundle: only asking again can tell
    with start(bundles["b1"], engine="embedded", port=port):
        deadline = time.monotonic() + 10
        while True:
            try:
                second = recommender.recommend([], k=1)
                break
            except ServerUnreachable:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    recommender.close()
    assert (first.version, second.version) == (1, 1)
    assert first.fingerprint != second.fingerprint


def test_a_deadline_holds(server, client_of):
    one = server()
    one.hold()
    address = one.address
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        client_of(address).predict("m", {}, timeout_s=0.2)
    with pytest.raises(DeadlineExceeded, match=r"0\.1 s"):
        client_of(address, timeout_s=0.1).status("m")
    for over_s in (0, -1):
        with pytest.raises(DeadlineExceeded):
            client_of(address).predict("m", {}, timeout_s=over_s)


@pytest.fixture
def half_open(server):
    """The address of a port that takes connections and never says a word."""
    with Wire(server().address) as wire:
        wire.fall_silent()
        yield wire.address


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


def test_a_server_that_hangs_up_at_once_is_unreachable(server, client_of):
    with Wire(server().address) as wire:
        wire.hang_up()
        with pytest.raises(ServerUnreachable):
            client_of(wire.address).predict("m", {}, timeout_s=5)


def test_deadlines_that_end_together_on_many_threads_are_named_errors(server):
    one = server()
    one.hold()
    found: list[type] = []

    def ask() -> None:
        for _ in range(5):
            try:
                client.predict("m", {}, timeout_s=0.05)
            except BaseException as error:
                found.append(type(error))

    with ServingClient(one.address) as client:
        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [DeadlineExceeded] * 120


def test_one_of_two_servers_goes_and_comes_back_and_no_caller_notices(server):
    steady, leaving = server(), server()
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
            leaving.wait_for_calls(20)
            leaving.stop()
            before = len(steady.calls)
            steady.wait_for_calls(before + 50)  # that is how long it stays away
            leaving.calls.clear()
            leaving.start()
        leaving.wait_for_calls(20)
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x00" * 40])
def test_garbage_is_no_answer(garbled, client_of, garbage):
    address = garbled(garbage)
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


def test_random_bytes_are_a_named_error_or_an_answer(garbled):
    random = np.random.default_rng(5)
    sent = []

    def answer(call):
        sent.append(random.bytes(random.integers(0, 40)))
        return sent[-1]

    refused = 0
    with ServingClient(garbled(answer)) as client:
        for place in range(300):
            try:
                found = client.status("m") if place % 2 else client.predict("m", {}).outputs
                assert not found or sent[-1], "nothing comes out of no byte"
            except ResponseError:
                assert sent[-1], "no byte is an empty message"
                refused += 1
            assert len(sent) == place + 1, "an answer that cannot be read is not asked for again"
    assert 0 < refused < 300


def test_a_tensor_in_the_answer_that_does_not_hold_together(garbled):
    response = inference_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(encode(np.float32([1, 2])))
    response.outputs["y"].tensor_content = b"odd"
    address = garbled(response.SerializeToString())
    with ServingClient(address) as client, pytest.raises(ResponseError, match="output 'y'"):
        client.predict("m", {})


def test_answers_far_above_grpcs_own_limit_arrive(garbled, client_of):
    big = np.arange(4_000_000, dtype=np.float32).reshape(1000, 4000)  # 16 MB, four times the limit
    address = garbled(answer_of(embedding=big))
    answer = client_of(address).predict("m", {"text": np.array(["x" * 5_000_000], object)})
    np.testing.assert_array_equal(answer.outputs["embedding"], big)


def test_a_server_that_is_no_model_server(server):
    one = server()
    one.fail("UNIMPLEMENTED", "Method not found!")
    with ServingClient(one.address) as client, pytest.raises(RequestError, match="REST port"):
        client.predict("m", {})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"fingerprint": None}, "fingerprint"),
        ({"k_max": ["five"]}, "k_max"),
        ({"dim": np.zeros(0, np.int32)}, "dim"),
    ],
)
def test_a_description_that_lacks_something(garbled, changes, what):
    address = garbled(described(**changes))
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
def test_recommendations_of_the_wrong_shape(garbled, outputs):
    def answer(call):
        return described() if call.signature == "describe" else answer_of(**outputs)

    with Recommender(garbled(answer)) as client, pytest.raises(ResponseError):
        client.recommend([], k=1)


def test_embeddings_of_another_length_than_described(garbled):
    def answer(call):
        if call.signature == "describe":
            return described()
        return answer_of(embedding=np.zeros((1, 3), np.float32))

    with (
        Recommender(garbled(answer)) as client,
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
    one = server()
    one.hold(calls=[0])
    one.fail("UNAVAILABLE", calls=[1])
    pausing = CallPolicy(retry=RetryPolicy(initial_pause_s=99, max_pause_s=99))
    for count, policy in enumerate([CallPolicy(), pausing], start=1):
        client = ServingClient(one.address, timeout_s=200, policy=policy)

        def close(client: ServingClient = client, count: int = count) -> None:
            one.wait_for_calls(count)
            time.sleep(0.05)  # the second is in its pause by now, or on its way there
            client.close()

        closing = threading.Thread(target=close)
        closing.start()
        with pytest.raises(CallCancelled):
            client.predict("m", {})
        closing.join()


def test_a_reload_has_one_address(client_of):
    with pytest.raises(UsageError, match="a client for each"):
        client_of(["a:1", "b:1"]).reload(management_pb2.ModelServerConfig())


def test_models_that_are_waited_for(server, client_of):
    seen = []

    def answer(call):
        model = call.model
        seen.append(model)
        if seen.count(model) == 1:
            raise Refusal("UNAVAILABLE", "starting")
        response = management_pb2.GetModelStatusResponse()
        state = "AVAILABLE" if seen.count(model) > 2 else "LOADING"
        response.model_version_status.add(
            version=1, state=management_pb2.ModelVersionStatus.State.Value(state)
        )
        return response.SerializeToString()

    one = server()
    one.garble(answer)
    client_of(one.address).wait_until_available(["a", "b"], timeout_s=60)
    assert seen == ["a", "a", "a", "b", "b", "b"], "each question is asked once"
    one.heal()
    with pytest.raises(DeadlineExceeded, match=r"'c'.*any versions of model c"):
        client_of(one.address).wait_until_available(["c"], timeout_s=0.3)
