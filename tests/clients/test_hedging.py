"""A call that takes longer than usual is sent a second time; the first answer wins."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
from serving_clients import predicted

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
from dualtower_clients.testing import Refusal

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


def test_time_pays_into_a_bucket_too():
    now = [100.0]
    bucket = TokenBucket(capacity=10, refill=0.1, refill_per_s=0.5, now_s=lambda: now[0])
    for _ in range(12):
        bucket.drain()
    assert not bucket.is_above_half
    now[0] += 10.0
    assert not bucket.is_above_half  # it is at the half
    now[0] += 0.5
    assert bucket.is_above_half
    now[0] += 1e6
    assert bucket.tokens == 10


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


def policy(**changes) -> CallPolicy:
    hedge = HedgePolicy(**{"min_observations": 5, "max_extra": 1.0, **changes})
    return CallPolicy(hedge=hedge, balance=BalancePolicy(pick="round_robin", eject_after=1000))


def test_another_replica_answers_in_place_of_one_that_hangs(server, client_of):
    slow, fast = server(), server()
    client = client_of([slow.address, fast.address], policy=policy())
    for _ in range(12):
        client.predict("m", {})
    slow.hold()
    before = predicted(slow)
    answers = [client.predict("m", {}, timeout_s=50) for _ in range(6)]
    assert {one.address for one in answers} == {fast.address}
    assert [one.attempts for one in answers].count(2) >= 3
    assert not any(one.failures for one in answers), "a loser has not failed"
    assert predicted(slow) > before
    slow.wait_for_abandoned(3)  # it learns that the losers are cancelled


def test_a_hedge_that_is_lost_again_and_again_ejects_the_slow_replica(server, client_of):
    slow, fast, third = server(), server(), server()
    hedged = CallPolicy(
        hedge=HedgePolicy(min_observations=5, max_extra=1.0),
        balance=BalancePolicy(pick="round_robin", eject_after=3, eject_s=600, max_eject_s=600),
    )
    client = client_of([slow.address, fast.address, third.address], policy=hedged)
    for _ in range(18):
        client.predict("m", {})
    slow.hold()
    answers = [client.predict("m", {}, timeout_s=50) for _ in range(60)]
    assert slow.address not in {one.address for one in answers}
    asked = predicted(slow)
    for _ in range(30):
        client.predict("m", {}, timeout_s=50)
    assert predicted(slow) == asked, "it gets no calls any more"


def test_the_same_server_is_asked_twice_where_there_is_only_one(server, client_of):
    one = server()
    client = client_of(one.address, policy=policy())
    for _ in range(10):
        client.predict("m", {})
    one.hold(calls=[0])
    assert client.predict("m", {}, timeout_s=50).attempts == 2


def test_hedges_keep_to_their_budget(server, client_of):
    slow, fast = server(), server()
    client = client_of([slow.address, fast.address], policy=policy(max_extra=0.01))
    for _ in range(12):
        client.predict("m", {})
    slow.hold()
    refused = 0
    for _ in range(40):
        try:
            client.predict("m", {}, timeout_s=0.05)
        except DeadlineExceeded:
            refused += 1
    assert refused >= 8, "20 calls went to the one that hangs, and 10 hedges are to be had"


def test_a_refusal_is_an_answer_and_ends_both(server, client_of):
    slow, other = server(), server()
    client = client_of([slow.address, other.address], policy=policy())
    for _ in range(12):
        client.predict("m", {})
    slow.hold()
    other.fail("INVALID_ARGUMENT", "no")
    for _ in range(4):
        with pytest.raises(RequestError):
            client.predict("m", {}, timeout_s=50)


def test_a_hedge_that_fails_leaves_the_first_attempt_its_time(server, client_of):
    may_answer = threading.Event()
    slow, other = server(), server()
    client = client_of([slow.address, other.address], policy=policy())
    for _ in range(12):
        client.predict("m", {})

    def late(inputs):
        may_answer.wait(60)
        return {}

    def fail(inputs):
        may_answer.set()
        raise Refusal("UNAVAILABLE", "going")

    slow.add_model("m", late)
    other.add_model("m", fail)
    answers = [client.predict("m", {}, timeout_s=50) for _ in range(2)]
    assert {one.address for one in answers} == {slow.address}


def test_a_reload_is_never_hedged(server, client_of):
    one = server()
    client = client_of(one.address, policy=policy(percentile=1, min_observations=1))
    for _ in range(30):
        client.reload(management_pb2.ModelServerConfig())
    assert len(one.calls_of(method="HandleReloadConfigRequest")) == 30


def test_no_attempt_is_left_behind(server):
    slow, fast = server(), server()
    with ServingClient([slow.address, fast.address], policy=policy()) as client:
        for _ in range(12):
            client.predict("m", {})
        slow.hold()

        def ask() -> None:
            for _ in range(5):
                client.predict("m", {}, timeout_s=50)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client._pool._traffic.balancer.outstanding == 0


def test_closing_ends_a_hedged_call(server):
    slow, other = server(), server()
    client = ServingClient([slow.address, other.address], policy=policy(), timeout_s=50)
    for _ in range(12):
        client.predict("m", {})
    held = slow.hold(), other.hold()

    def close() -> None:
        for one in held:
            one.wait()
        client.close()

    closing = threading.Thread(target=close)
    closing.start()
    with pytest.raises(CallCancelled):
        client.predict("m", {})
    closing.join()
    assert client._pool._traffic.balancer.outstanding == 0
