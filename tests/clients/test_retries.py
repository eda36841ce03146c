"""A call is sent again where that is safe and may help, in the time that it has, and no more."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from scripted_server import ANSWER, PREDICT, failing, waiting_for

from dualtower_clients import (
    CallPolicy,
    DeadlineExceeded,
    ModelNotFound,
    RequestError,
    RetryPolicy,
    ServerBusy,
    ServerFailure,
    ServerUnreachable,
)
from dualtower_clients.proto import management_pb2
from dualtower_serving.launch import free_port

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full; currently 2 ..."


def times(count: int, first, then):
    """Answers `count` calls as `first` does, and the later ones as `then` does."""
    left = iter(range(count))
    lock = threading.Lock()

    def answer(method, request, context):
        with lock:
            now = first if next(left, None) is not None else then
        return now(method, request, context)

    return answer


def good(method, request, context):
    return ANSWER


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
def test_what_may_help_is_sent_again(server, client_of, code, details):
    one = server(times(2, failing(code, details), good))
    answer = client_of(one.address, policy=quick()).predict("m", {})
    assert (answer.attempts, answer.failures, one.calls[PREDICT]) == (3, 2, 3)
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
def test_what_would_fail_again_is_sent_once(server, client_of, code, error):
    one = server(failing(code, "no"))
    with pytest.raises(error) as caught:
        client_of(one.address, policy=quick()).predict("m", {})
    assert (caught.value.attempts, one.calls[PREDICT]) == (1, 1)


def test_the_error_says_how_often_it_was_tried(server, client_of):
    one = server(failing("UNAVAILABLE", QUEUE_FULL))
    with pytest.raises(ServerBusy, match="after 4 attempts") as caught:
        client_of(one.address, policy=quick(max_attempts=4)).predict("m", {})
    assert (caught.value.attempts, one.calls[PREDICT]) == (4, 4)
    assert caught.value.server_message == QUEUE_FULL


def test_nothing_is_sent_again_without_a_retry_policy(server, client_of):
    one = server(failing("UNAVAILABLE"))
    with pytest.raises(ServerUnreachable):
        client_of(one.address, policy=CallPolicy(retry=None)).predict("m", {})
    assert one.calls[PREDICT] == 1


def test_a_reload_is_sent_once_whatever_happens(server, client_of):
    one = server(failing("UNAVAILABLE", QUEUE_FULL))
    with pytest.raises(ServerBusy):
        client_of(one.address, policy=quick()).reload(management_pb2.ModelServerConfig())
    assert one.calls[RELOAD] == 1


def test_another_address_is_asked_before_the_same_one_again(server, client_of):
    down, up = server(failing("UNAVAILABLE")), server()
    nobody = f"127.0.0.1:{free_port()}"
    client = client_of([down.address, nobody, up.address], policy=quick())
    for _ in range(10):
        answer = client.predict("m", {})
        assert answer.address == up.address
        assert answer.attempts <= 3
    assert up.calls[PREDICT] == 10


def test_the_pause_never_outlasts_the_deadline(server, client_of):
    one = server(failing("UNAVAILABLE", QUEUE_FULL))
    slow = quick(initial_pause_s=30, max_pause_s=30)
    begin = time.monotonic()
    with pytest.raises(ServerBusy):
        client_of(one.address, policy=slow).predict("m", {}, timeout_s=2)
    assert time.monotonic() - begin < 10
    assert one.calls[PREDICT] == 1


def test_every_attempt_has_the_time_that_is_left(server, client_of):
    left_s = []

    def answer(method, request, context):
        left_s.append(context.time_remaining())
        time.sleep(0.5)
        return failing("UNAVAILABLE")(method, request, context)

    with pytest.raises(ServerUnreachable):
        client_of(server(answer).address, policy=quick()).predict("m", {}, timeout_s=6)
    assert len(left_s) == 3
    for more, less in pairwise([6.5, *left_s]):  # gRPC sends it rounded up
        assert more > less + 0.3


def test_an_attempt_that_takes_too_long_is_given_up_for_another(server, client_of):
    release = threading.Event()

    def hang(method, request, context):
        release.wait(30)
        return ANSWER

    one = server(times(1, hang, good))
    client = client_of(one.address, policy=quick(attempt_timeout_s=0.2))
    answer = client.predict("m", {}, timeout_s=20)
    release.set()
    assert (answer.attempts, one.calls[PREDICT]) == (2, 2)


def test_the_whole_deadline_is_not_tried_twice(server, client_of):
    release = threading.Event()
    one = server(waiting_for(release))
    with pytest.raises(DeadlineExceeded) as caught:
        client_of(one.address, policy=quick()).predict("m", {}, timeout_s=0.2)
    release.set()
    assert caught.value.attempts == 1


def test_failures_that_outweigh_successes_end_retries(server, client_of):
    one = server(failing("UNAVAILABLE"))
    client = client_of(one.address, policy=quick())
    for _ in range(50):
        with pytest.raises(ServerUnreachable):
            client.predict("m", {})
    assert one.calls[PREDICT] < 60, "a few retries, and then one attempt a call"
    one.answer = good
    for _ in range(80):
        client.predict("m", {})
    one.answer = times(1, failing("UNAVAILABLE"), good)
    assert client.predict("m", {}).attempts == 2, "successes have paid for retries again"


def test_a_request_above_grpcs_own_buffer_for_retries_is_sent_again(server, client_of):
    one = server(times(1, failing("UNAVAILABLE"), good))
    answer = client_of(one.address, policy=quick()).predict("m", {"x": [0.0] * 1_000_000})
    assert answer.attempts == 2
