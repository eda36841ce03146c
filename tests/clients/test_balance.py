"""Which replica is asked, and which one is left alone; first by itself, then before servers."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest
from serving_clients import predicted

from dualtower_clients import (
    BalancePolicy,
    CallPolicy,
    DeadlineExceeded,
    RequestError,
    RetryPolicy,
    ServerUnreachable,
    ServingClient,
)
from dualtower_clients._balance import Balancer, Verdict
from dualtower_serving.launch import free_port

S = 1_000_000_000


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def balancer(count: int, clock: Clock | None = None, **policy) -> Balancer:
    return Balancer(
        [f"r{number}" for number in range(count)],
        BalancePolicy(**policy),
        rng=random.Random(5),
        now_ns=clock or Clock(),
    )


def fail(balance: Balancer, address: str, times: int) -> None:
    replica = next(one for one in balance.replicas if one.address == address)
    others = [one for one in balance.replicas if one is not replica]
    for _ in range(times):
        assert balance.take(avoid=others) is replica
        balance.give_back(replica, Verdict.BAD)


def asked(balance: Balancer, calls: int, verdict: Verdict = Verdict.GOOD) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(calls):
        replica = balance.take()
        found[replica.address] += 1
        balance.give_back(replica, verdict)
    return found


def test_round_robin_takes_them_in_turn():
    balance = balancer(3, pick="round_robin")
    assert [balance.take().address for _ in range(5)] == ["r0", "r1", "r2", "r0", "r1"]


def test_idle_replicas_share_the_calls():
    found = asked(balancer(4), 4000)
    assert len(found) == 4
    assert min(found.values()) > 800


def test_the_less_loaded_of_two_is_taken():
    balance = balancer(2)
    taken = [balance.take() for _ in range(10)]
    assert [one.outstanding for one in balance.replicas] == [5, 5]
    for replica in taken:
        balance.give_back(replica, Verdict.GOOD)
    assert balance.outstanding == 0


def test_a_replica_that_was_tried_is_avoided_while_there_is_another():
    balance = balancer(3)
    first = balance.take()
    second = balance.take(avoid=[first])
    third = balance.take(avoid=[first, second])
    assert {first, second, third} == set(balance.replicas)
    assert balance.take(avoid=[first, second, third]) in balance.replicas


def test_failures_in_a_row_eject_a_replica():
    balance = balancer(3, eject_after=3)
    fail(balance, "r0", 2)
    assert asked(balance, 60)["r0"], "two are not enough, and a success makes them forgotten"
    fail(balance, "r0", 3)
    assert not asked(balance, 60)["r0"]


def test_an_ejected_replica_comes_back_by_a_single_call():
    clock = Clock()
    balance = balancer(2, clock, eject_after=1, eject_s=2, pick="round_robin")
    fail(balance, "r0", 1)
    assert set(asked(balance, 10)) == {"r1"}
    clock.now_ns = 2 * S
    taken = [balance.take() for _ in range(6)]
    assert [one.address for one in taken].count("r0") == 1, "one probe at a time"
    probe = next(one for one in taken if one.address == "r0")
    balance.give_back(probe, Verdict.GOOD)
    assert asked(balance, 10) == {"r0": 5, "r1": 5}


def test_a_probe_that_was_given_up_is_followed_by_another():
    clock = Clock()
    balance = balancer(2, clock, eject_after=1, eject_s=2, pick="round_robin")
    fail(balance, "r0", 1)
    clock.now_ns = 2 * S
    assert asked(balance, 10, Verdict.NONE)["r0"] == 5


def test_each_further_time_is_twice_as_long_up_to_a_limit_and_good_conduct_ends_that():
    clock = Clock()
    balance = balancer(2, clock, eject_after=1, eject_s=1, max_eject_s=4)
    replica = balance.replicas[0]
    lengths = []
    for _ in range(5):
        fail(balance, "r0", 1)
        lengths.append(replica.ejected_until_ns - clock.now_ns)
        clock.now_ns = replica.ejected_until_ns
    assert lengths == [1 * S, 2 * S, 4 * S, 4 * S, 4 * S]
    balance.give_back(balance.take(avoid=balance.replicas[1:]), Verdict.GOOD)
    clock.now_ns += 5 * S
    fail(balance, "r0", 1)
    assert replica.ejected_until_ns - clock.now_ns == 1 * S


@pytest.mark.parametrize(("count", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_never_more_than_half_are_ejected(count, most):
    balance = balancer(count, eject_after=1)
    for number in range(count):
        fail(balance, f"r{number}", 3)
    assert sum(one.ejected_until_ns is not None for one in balance.replicas) == most


def test_an_ejected_replica_is_better_than_one_that_just_failed():
    balance = balancer(2, eject_after=1)
    fail(balance, "r0", 1)
    assert balance.take(avoid=balance.replicas[1:]).address == "r0"


def test_threads_leave_no_attempt_behind():
    balance = balancer(3, eject_after=2)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(500):
            balance.give_back(balance.take(), rng.choice(list(Verdict)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert balance.outstanding == 0
    assert sum(one.ejected_until_ns is not None for one in balance.replicas) <= 1


@pytest.mark.parametrize("pick", ["least_outstanding", "round_robin"])
def test_all_addresses_are_asked(server, client_of, pick):
    servers = [server() for _ in range(3)]
    client = client_of(
        [one.address for one in servers], policy=CallPolicy(balance=BalancePolicy(pick=pick))
    )
    answered = Counter(client.predict("m", {}).address for _ in range(60))
    assert answered == {one.address: predicted(one) for one in servers}
    assert len(answered) == 3


def test_a_server_that_is_down_is_left_alone_and_found_when_it_is_back(server, client_of):
    up, port = server(), free_port()
    down = f"127.0.0.1:{port}"
    policy = CallPolicy(balance=BalancePolicy(eject_after=2, eject_s=0.2))
    client = client_of([up.address, down], policy=policy)
    answers = [client.predict("m", {}) for _ in range(40)]
    assert {one.address for one in answers} == {up.address}
    assert sum(one.attempts > 1 for one in answers) < 20, "most calls do not try it any more"
    back = server(port=port)
    deadline = time.monotonic() + 20
    while not back.calls:
        assert time.monotonic() < deadline
        client.predict("m", {})
    assert back.address == down


def test_a_refusal_says_nothing_against_a_replica(server, client_of):
    servers = [server() for _ in range(2)]
    for one in servers:
        one.fail("INVALID_ARGUMENT", "no")
    policy = CallPolicy(balance=BalancePolicy(eject_after=1, pick="round_robin"))
    client = client_of([one.address for one in servers], policy=policy)
    for _ in range(10):
        with pytest.raises(RequestError):
            client.predict("m", {})
    assert [predicted(one) for one in servers] == [5, 5]


def test_a_silent_replica_is_ejected_and_the_other_one_answers(server, client_of):
    silent, up = server(), server()
    silent.hold()
    policy = CallPolicy(retry=None, balance=BalancePolicy(eject_after=1, pick="round_robin"))
    client = client_of([silent.address, up.address], policy=policy)
    with pytest.raises(DeadlineExceeded, match=silent.address):
        client.predict("m", {}, timeout_s=0.2)
    assert {client.predict("m", {}).address for _ in range(5)} == {up.address}


def test_the_error_names_the_last_replica_that_was_asked(client_of):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    with pytest.raises(ServerUnreachable, match="after 3 attempts") as caught:
        client_of(addresses, policy=CallPolicy(retry=RetryPolicy())).predict("m", {})
    assert caught.value.address in addresses


def test_twenty_four_threads_share_a_client_of_three_servers(server):
    servers = [server(threads=8) for _ in range(3)]
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(40):
                client.predict("m", {})
        except BaseException as error:
            failures.append(error)

    with ServingClient([one.address for one in servers]) as client:
        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client._pool._traffic.balancer.outstanding == 0
    assert not failures
    counts = [predicted(one) for one in servers]
    assert sum(counts) == 960
    assert min(counts) > 100
