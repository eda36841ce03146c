"""A call that takes longer than usual is sent a second time; the first answer wins."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
from scripted_server import ANSWER, PREDICT, failing

from dualtower.errors import UsageError
from dualtower_clients import (
    BalancePolicy,
    CallCancelled,
    CallPolicy,
    DeadlineExceeded,
    HedgePolicy,
    RequestError,
    ServingClient,
)
from dualtower_clients._budget import TokenBucket
from dualtower_clients._hedging import Hedging
from dualtower_clients._latency import LatencyWindow
from dualtower_clients.proto import management_pb2

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
MS = 1_000_000


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("percentile", [1, 50, 95, 99.9, 100])
def test_percentiles_are_those_of_the_last_latencies(size, percentile):
    rng = random.Random(3)
    window = LatencyWindow(size)
    seen = []
    for _ in range(300):
        seen.append(rng.randrange(50))
        window.add(seen[-1])
        want = np.percentile(seen[-size:], percentile, method="inverted_cdf")
        assert window.percentile_ns(percentile) == want
    assert len(window) == size


def test_a_bucket_gives_what_was_paid_in():
    bucket = TokenBucket(capacity=2, refill=0.5)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    bucket.refill()
    assert not bucket.take()
    bucket.refill()
    assert bucket.take()
    bucket.drain()
    assert bucket.tokens == 0
    for _ in range(10):
        bucket.refill()
    assert bucket.tokens == 2


def test_there_is_no_delay_before_enough_was_observed():
    hedging = Hedging(HedgePolicy(min_observations=3))
    for _ in range(2):
        hedging.observe("p", "m", 0, 5 * MS)
    assert hedging.delay_ns("p", "m") is None
    hedging.observe("p", "m", 0, 5 * MS)
    assert hedging.delay_ns("p", "m") == 5 * MS
    assert hedging.delay_ns("p", "another") is None
    assert hedging.delay_ns("another", "m") is None


def test_the_delay_is_that_of_the_others_where_one_replica_is_slow():
    hedging = Hedging(HedgePolicy(min_observations=1))
    for replica, latency_ms in enumerate([5, 900, 6]):
        hedging.observe("p", "m", replica, latency_ms * MS)
    assert hedging.delay_ns("p", "m") == 6 * MS


def test_made_up_names_do_not_fill_the_memory():
    hedging = Hedging(HedgePolicy(min_observations=1))
    for number in range(2000):
        hedging.observe("p", f"m{number}", 0, MS)
    assert len(hedging._windows) <= 256
    assert hedging.delay_ns("p", "m1999") == MS


def test_a_window_holds_the_observations_it_waits_for():
    with pytest.raises(UsageError, match="window must be at least min_observations"):
        HedgePolicy(min_observations=100, window=50)


class Hanging:
    """Answers at once, until it is told to answer only when it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.hangs = False

    def __call__(self, method, request, context):
        if self.hangs:
            self.release.wait(60)
        return ANSWER


@pytest.fixture
def hanging():
    one = Hanging()
    yield one
    one.release.set()


def policy(**changes) -> CallPolicy:
    hedge = HedgePolicy(**{"min_observations": 5, "max_extra": 1.0, **changes})
    return CallPolicy(hedge=hedge, balance=BalancePolicy(pick="round_robin", eject_after=1000))


def test_another_replica_answers_in_place_of_one_that_hangs(server, client_of, hanging):
    slow, fast = server(hanging), server()
    client = client_of([slow.address, fast.address], policy=policy())
    for _ in range(12):
        client.predict("m", {})
    before = slow.calls[PREDICT]
    hanging.hangs = True
    answers = [client.predict("m", {}, timeout_s=50) for _ in range(6)]
    assert {one.address for one in answers} == {fast.address}
    assert [one.attempts for one in answers].count(2) >= 3
    assert not any(one.failures for one in answers), "a loser has not failed"
    assert slow.calls[PREDICT] > before
    deadline = time.monotonic() + 20
    while slow.cancelled < 3:  # the server learns that the losers are cancelled
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_hedge_that_is_lost_again_and_again_ejects_the_slow_replica(server, client_of, hanging):
    slow, fast, third = server(hanging, threads=32), server(), server()
    hedged = CallPolicy(
        hedge=HedgePolicy(min_observations=5, max_extra=1.0),
        balance=BalancePolicy(pick="round_robin", eject_after=3, eject_s=600),
    )
    client = client_of([slow.address, fast.address, third.address], policy=hedged)
    for _ in range(18):
        client.predict("m", {})
    hanging.hangs = True
    answers = [client.predict("m", {}, timeout_s=50) for _ in range(60)]
    assert slow.address not in {one.address for one in answers}
    asked = slow.calls[PREDICT]
    for _ in range(30):
        client.predict("m", {}, timeout_s=50)
    assert slow.calls[PREDICT] == asked, "it gets no calls any more"


def test_the_same_server_is_asked_twice_where_there_is_only_one(server, client_of, hanging):
    first = threading.Lock()

    def answer(method, request, context):
        if hanging.hangs and first.acquire(blocking=False):
            hanging.release.wait(60)
        return ANSWER

    one = server(answer)
    client = client_of(one.address, policy=policy())
    for _ in range(10):
        client.predict("m", {})
    hanging.hangs = True
    assert client.predict("m", {}, timeout_s=50).attempts == 2


def test_hedges_keep_to_their_budget(server, client_of, hanging):
    slow, fast = server(hanging, threads=32), server()
    client = client_of([slow.address, fast.address], policy=policy(max_extra=0.01))
    for _ in range(12):
        client.predict("m", {})
    hanging.hangs = True
    refused = 0
    for _ in range(40):
        try:
            client.predict("m", {}, timeout_s=0.1)
        except DeadlineExceeded:
            refused += 1
    assert refused >= 8, "20 calls went to the one that hangs, and 10 hedges are to be had"


def test_a_refusal_is_an_answer_and_ends_both(server, client_of, hanging):
    slow, other = server(hanging), server()
    client = client_of([slow.address, other.address], policy=policy())
    for _ in range(12):
        client.predict("m", {})
    hanging.hangs = True
    other.answer = failing("INVALID_ARGUMENT", "no")
    for _ in range(4):
        with pytest.raises(RequestError):
            client.predict("m", {}, timeout_s=50)


def test_a_hedge_that_fails_leaves_the_first_attempt_its_time(server, client_of):
    may_answer = threading.Event()
    slow = server(lambda method, request, context: ANSWER)
    other = server()
    client = client_of([slow.address, other.address], policy=policy())
    for _ in range(12):
        client.predict("m", {})

    def late(method, request, context):
        may_answer.wait(60)
        return ANSWER

    def fail(method, request, context):
        may_answer.set()
        return failing("UNAVAILABLE")(method, request, context)

    slow.answer, other.answer = late, fail
    answers = [client.predict("m", {}, timeout_s=50) for _ in range(2)]
    assert {one.address for one in answers} == {slow.address}


def test_a_reload_is_never_hedged(server, client_of):
    one = server(lambda method, request, context: b"")
    client = client_of(one.address, policy=policy(percentile=1, min_observations=1))
    for _ in range(30):
        client.reload(management_pb2.ModelServerConfig())
    assert one.calls[RELOAD] == 30


def test_no_attempt_is_left_behind(server, hanging):
    slow, fast = server(hanging, threads=32), server(threads=8)
    with ServingClient([slow.address, fast.address], policy=policy()) as client:
        for _ in range(12):
            client.predict("m", {})
        hanging.hangs = True

        def ask() -> None:
            for _ in range(5):
                client.predict("m", {}, timeout_s=50)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client._pool._traffic.balancer.outstanding == 0


def test_closing_ends_a_hedged_call(server, hanging):
    slow, other = server(hanging), server(hanging)
    client = ServingClient([slow.address, other.address], policy=policy(), timeout_s=50)
    for _ in range(12):
        client.predict("m", {})
    hanging.hangs = True
    closing = threading.Timer(0.3, client.close)
    closing.start()
    with pytest.raises(CallCancelled):
        client.predict("m", {})
    closing.join()
    assert client._pool._traffic.balancer.outstanding == 0
