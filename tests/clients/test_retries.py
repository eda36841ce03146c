"""A call is sent again where that is safe and may help, in the time that it has, and no more."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from serving_clients import predicted

from dualtower.errors import UsageError
from dualtower_clients import (
    CallPolicy,
    DeadlineExceeded,
    ModelNotFound,
    RequestError,
    ResponseError,
    RetryPolicy,
    ServerBusy,
    ServerFailure,
    ServerUnreachable,
)
from dualtower_clients.proto import management_pb2
from dualtower_serving.launch import free_port

QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full; currently 2 ..."


@pytest.fixture
def failing(server):
    """Starts a server that ends calls with this code."""

    def serve(*args, **which):
        one = server()
        one.fail(*args, **which)
        return one

    return serve


def quick(**changes) -> CallPolicy:
    return CallPolicy(retry=RetryPolicy(**{"initial_pause_s": 0.01, **changes}))


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("UNAVAILABLE", "the server is going away"),
        ("UNAVAILABLE", QUEUE_FULL),
        ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted"),
    ],
)
def test_what_may_help_is_sent_again(failing, client_of, code, details):
    one = failing(code, details, calls=range(2))
    answer = client_of(one.address, policy=quick()).predict("m", {})
    assert (answer.attempts, answer.failures, predicted(one)) == (3, 2, 3)
    assert answer.address == one.address


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("INVALID_ARGUMENT", RequestError),
        ("NOT_FOUND", ModelNotFound),
        ("INTERNAL", ServerFailure),
        ("DATA_LOSS", ServerFailure),
        ("UNIMPLEMENTED", RequestError),
    ],
)
def test_what_would_fail_again_is_sent_once(failing, client_of, code, error):
    one = failing(code, "no")
    with pytest.raises(error) as caught:
        client_of(one.address, policy=quick()).predict("m", {})
    assert (caught.value.attempts, predicted(one)) == (1, 1)


def test_the_error_says_how_often_it_was_tried(failing, client_of):
    one = failing("UNAVAILABLE", QUEUE_FULL)
    with pytest.raises(ServerBusy, match="after 4 attempts") as caught:
        client_of(one.address, policy=quick(max_attempts=4)).predict("m", {})
    assert (caught.value.attempts, predicted(one)) == (4, 4)
    assert caught.value.server_message == QUEUE_FULL


def test_nothing_is_sent_again_without_a_retry_policy(failing, client_of):
    one = failing("UNAVAILABLE")
    with pytest.raises(ServerUnreachable):
        client_of(one.address, policy=CallPolicy(retry=None)).predict("m", {})
    assert predicted(one) == 1


@pytest.mark.parametrize("timeout_s", [0, -1.0])
def test_a_call_whose_time_is_over_is_not_sent(server, client_of, timeout_s):
    one = server()
    client = client_of(one.address)
    with pytest.raises(DeadlineExceeded, match="before it was sent"):
        client.predict("m", {}, timeout_s=timeout_s)
    assert not one.calls
    assert client.predict("m", {}, timeout_s=1e12).outputs == {}
    for none in (0, -1, "a", float("nan")):
        with pytest.raises(UsageError, match="timeout_s must be"):
            client_of(one.address, timeout_s=none)


def test_an_answer_that_cannot_be_read_says_how_often_it_was_asked(server, client_of):
    one = server()
    one.fail("UNAVAILABLE", calls=[0])
    one.garble(b"\xff\xff", calls=[1])
    with pytest.raises(ResponseError) as caught:
        client_of(one.address, policy=quick()).predict("m", {})
    assert caught.value.attempts == 2


def test_an_error_of_a_reload_is_about_no_model(failing, client_of):
    one = failing("INVALID_ARGUMENT")
    with pytest.raises(RequestError, match="compare the configuration") as caught:
        client_of(one.address).reload(management_pb2.ModelServerConfig())
    assert caught.value.model == ""
    assert "model ''" not in str(caught.value)


def test_a_reload_is_sent_once_whatever_happens(failing, client_of):
    one = failing("UNAVAILABLE", QUEUE_FULL)
    with pytest.raises(ServerBusy):
        client_of(one.address, policy=quick()).reload(management_pb2.ModelServerConfig())
    assert len(one.calls_of(method="HandleReloadConfigRequest")) == 1


def test_another_address_is_asked_before_the_same_one_again(server, failing, client_of):
    down, up = failing("UNAVAILABLE"), server()
    nobody = f"127.0.0.1:{free_port()}"
    client = client_of([down.address, nobody, up.address], policy=quick())
    for _ in range(10):
        answer = client.predict("m", {})
        assert answer.address == up.address
        assert answer.attempts <= 3
    assert predicted(up) == 10


def test_the_pause_never_outlasts_the_deadline(failing, client_of):
    one = failing("UNAVAILABLE", QUEUE_FULL)
    slow = quick(initial_pause_s=30, max_pause_s=30)
    begin = time.monotonic()
    with pytest.raises(ServerBusy):
        client_of(one.address, policy=slow).predict("m", {}, timeout_s=2)
    assert time.monotonic() - begin < 10
    assert predicted(one) == 1


def test_every_attempt_has_the_time_that_is_left(failing, client_of):
    one = failing("UNAVAILABLE")
    one.delay(0.2)
    with pytest.raises(ServerUnreachable):
        client_of(one.address, policy=quick()).predict("m", {}, timeout_s=6)
    left_s = [call.timeout_s for call in one.calls]
    assert len(left_s) == 3
    for more, less in pairwise([6.2, *left_s]):  # gRPC sends it rounded up
        assert more > less + 0.1


def test_an_attempt_that_takes_too_long_is_given_up_for_another(server, client_of):
    one = server()
    one.hold(calls=[0])
    client = client_of(one.address, policy=quick(attempt_timeout_s=0.2))
    answer = client.predict("m", {}, timeout_s=20)
    assert (answer.attempts, predicted(one)) == (2, 2)


def test_the_whole_deadline_is_not_tried_twice(server, client_of):
    one = server()
    one.hold()
    with pytest.raises(DeadlineExceeded) as caught:
        client_of(one.address, policy=quick()).predict("m", {}, timeout_s=0.2)
    assert caught.value.attempts == 1


def test_failures_that_outweigh_successes_end_retries(failing, client_of):
    one = failing("UNAVAILABLE")
    client = client_of(one.address, policy=quick())
    for _ in range(50):
        with pytest.raises(ServerUnreachable):
            client.predict("m", {})
    assert predicted(one) < 60, "a few retries, and then one attempt a call"
    one.heal()
    for _ in range(80):
        client.predict("m", {})
    one.fail("UNAVAILABLE", calls=[0])
    assert client.predict("m", {}).attempts == 2, "successes have paid for retries again"


def test_a_request_above_grpcs_own_buffer_for_retries_is_sent_again(failing, client_of):
    one = failing("UNAVAILABLE", calls=[0])
    answer = client_of(one.address, policy=quick()).predict("m", {"x": [0.0] * 1_000_000})
    assert answer.attempts == 2
