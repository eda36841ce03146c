"""Several servers behind one recommender: each answer belongs to a pair that was checked there."""

from __future__ import annotations

import threading
import time

import pytest
from recommenders import RECOMMENDERS

from dualtower.bundle import MODELS
from dualtower.errors import UsageError
from dualtower_clients import (
    BalancePolicy,
    BundleMismatch,
    CallPolicy,
    ChannelSettings,
    ClientError,
    DeadlineExceeded,
    Recommender,
    ServerUnreachable,
)
from dualtower_clients.testing import FakeModel, FakeServer, FakeSignature, Refusal, hash_vectors

ITEMS = {f"i{number}": f"item number {number}" for number in range(6)}
TURNS = CallPolicy(balance=BalancePolicy(pick="round_robin", eject_s=0.05, max_eject_s=0.1))


@pytest.fixture(params=RECOMMENDERS)
def kind(request):
    return RECOMMENDERS[request.param]


def servers(*salts: str, versions=(1, 2, 3)) -> list[FakeServer]:
    return [
        FakeServer.with_bundle(ITEMS, salt=salt, version=version)
        for salt, version in zip(salts, versions, strict=False)
    ]


def describes(server: FakeServer) -> int:
    return sum(call.signature == "describe" for call in server.calls)


def test_in_the_middle_of_a_rollout_each_answer_names_its_own_pair(kind):
    """Half of the fleet has the new pair: both are right, and neither passes for the other."""
    old, new = servers("a", "b")
    with old, new, kind([old.address, new.address], policy=TURNS) as client:
        found = [client.embed_items(["rye bread"]) for _ in range(20)]
        by_address = {old.address: (1, "a"), new.address: (2, "b")}
        assert {one.address for one in found} == set(by_address)
        fingerprints = set()
        for one in found:
            version, salt = by_address[one.address]
            assert one.version == version
            wanted = hash_vectors(["rye bread"], dim=16, salt=salt)
            assert one.vectors.tolist() == wanted.tolist()
            fingerprints.add((one.version, one.fingerprint))
        assert len(fingerprints) == 2
        assert describes(old) + describes(new) < 20, "a pair is not asked for with each answer"


def test_of_one_bundle_everywhere_each_replica_is_checked(kind):
    fleet = servers("a", "a", "a", versions=(1, 1, 1))
    with kind([one.address for one in fleet], policy=TURNS) as client:
        for _ in range(30):
            client.recommend([], k=1)
    for one in fleet:
        assert {call.model for call in one.calls if call.signature == "describe"} == set(MODELS)
        assert describes(one) < 10, "after its first answer, and not after each"
        one.stop()


def test_a_replica_with_another_bundle_than_the_callers_is_refused(kind):
    right, wrong = servers("a", "b", versions=(1, 1))
    with right, wrong, kind(right.address) as one:
        fingerprint = one.recommend([], k=1).fingerprint
        with _opened(
            lambda: kind(
                [right.address, wrong.address], policy=TURNS, expect_fingerprint=fingerprint
            )
        ) as client:
            answered, refused = _asked(client)
    assert answered == {right.address}
    assert wrong.address in refused
    assert "the caller's" in refused


def test_one_version_of_two_bundles_is_refused_and_both_servers_are_named(kind):
    first, second = servers("a", "b", versions=(1, 1))
    with first, second, kind([first.address, second.address], policy=TURNS) as client:
        _, refused = _asked(client)
    assert first.address in refused
    assert second.address in refused
    assert "a version of its own" in refused


def test_a_replica_whose_models_do_not_fit_is_refused_and_the_other_goes_on(kind):
    good, bad = servers("a", "a", versions=(1, 1))
    bad.add_bundle(ITEMS, version=2, salt="b", models=["item_tower"])
    with (
        good,
        bad,
        _opened(lambda: kind([good.address, bad.address], policy=TURNS)) as client,
    ):
        answered, refused = _asked(client)
    assert answered == {good.address}
    assert bad.address in refused


def _opened(make):
    """A client that could be opened: who is asked first is not decided here."""
    while True:
        try:
            return make()
        except BundleMismatch:
            continue


def _asked(client) -> tuple[set[str], str]:
    """Who answered, and in what words others were refused."""
    answered, refused = set(), ""
    for _ in range(8):
        try:
            answered.add(client.embed_items(["a"]).address)
        except BundleMismatch as error:
            refused = str(error)
    return answered, refused


def test_a_replica_that_is_lost_before_it_is_checked_costs_no_answer(kind):
    steady, leaving = servers("a", "a", versions=(1, 1))
    with steady, kind([steady.address, leaving.address], policy=TURNS) as client:
        for _ in range(4):
            client.recommend([], k=1)
        leaving.fail("UNAVAILABLE", "going", method="Predict")
        for _ in range(6):
            assert client.recommend([], k=1).address == steady.address
        leaving.heal()
        # it answers, and dies when it is asked for its description
        leaving.fail("UNAVAILABLE", "gone", model="user_tower")
        for _ in range(10):
            assert client.recommend([], k=1).fingerprint
    leaving.stop()


def test_a_pinned_client_stays_with_the_server_of_its_pair(kind):
    old, new = servers("a", "b")
    with (
        old,
        new,
        kind([old.address, new.address], policy=TURNS) as client,
        client.pinned() as pair,
    ):
        found = {
            (one.address, one.fingerprint)
            for one in [pair.recommend([], k=1) for _ in range(6)] + [pair.embed_items(["a"])]
        }
    assert len(found) == 1


def test_a_server_that_was_exchanged_in_silence_is_noticed(kind):
    """No call failed, and the version is the same: only asking again can tell."""
    first = FakeServer.with_bundle(ITEMS, salt="a")
    with kind(first.address) as client:
        before = client.embed_items(["rye bread"])
        first.stop()
        time.sleep(1.1)
        with FakeServer.with_bundle(ITEMS, salt="b", port=first.port) as second:
            after = _answer(client)
            assert after.version == before.version
            assert after.fingerprint != before.fingerprint
            wanted = hash_vectors(["rye bread"], dim=16, salt="b")
            assert after.vectors.tolist() == wanted.tolist()
            assert describes(second) >= 3


def test_after_a_silence_one_question_confirms_a_pair(kind):
    with FakeServer.with_bundle(ITEMS) as server, kind(server.address) as client:
        client.recommend([], k=1)
        before = describes(server)
        time.sleep(1.1)
        client.recommend([], k=1)
        assert describes(server) == before + 1


def _answer(client):
    deadline = time.monotonic() + 20
    while True:
        try:
            return client.embed_items(["rye bread"])
        except ServerUnreachable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_checks_time_is_the_calls_time(kind):
    with FakeServer.with_bundle(ITEMS) as server, kind(server.address) as client:
        server.add_bundle(ITEMS, version=2, salt="b")
        server.delay(0.4, method="Predict")  # four calls: the answer, and what checks it
        with pytest.raises(DeadlineExceeded):
            client.recommend([], k=1, timeout_s=1.0)
        server.heal()
        assert client.recommend([], k=1).version == 2


def test_metadata_goes_with_the_call_and_with_its_check(kind):
    with FakeServer.with_bundle(ITEMS) as server, kind(server.address) as client:
        server.add_bundle(ITEMS, version=2)
        server.calls.clear()
        client.recommend([], k=1, metadata=[("user", "ann")])
    assert len(server.calls) == 4
    assert {call.metadata["user"] for call in server.calls} == {"ann"}


def test_a_shorter_list_of_the_pair_that_answers_is_refused(kind):
    with FakeServer.with_bundle(ITEMS, k_max=5) as server, kind(server.address) as client:
        assert len(client.recommend([], k=5).item_ids) == 5
        server.add_bundle(ITEMS, version=2, k_max=3)
        with pytest.raises(UsageError, match="between 1 and 3, got 5"):
            client.recommend([], k=5)


def test_a_version_that_goes_between_its_answer_and_the_check_is_asked_again(kind):
    def leave(inputs):
        server.add_bundle(ITEMS, version=3)
        for name in MODELS:
            server.set_state(name, 2, "END")
        raise Refusal("NOT_FOUND", "Servable not found for request: Specific(user_tower, 2)")

    with FakeServer.with_bundle(ITEMS) as server, kind(server.address) as client:
        server.add_bundle(ITEMS, version=2)
        server.add_model("user_tower", FakeModel({"describe": FakeSignature(leave)}), version=2)
        assert client.recommend([], k=1).version == 3


@pytest.mark.parametrize("label", [None, "stable"])
def test_in_the_middle_of_a_rollout_behind_one_name(kind, label):
    """Whoever answers a check need not be who gave the answer; the version tells what to ask."""
    fleet = servers("a", "a", "b", versions=(1, 1, 2))
    for version, one in zip((1, 1, 2), fleet, strict=True):
        for name in MODELS:
            one.set_label(name, "stable", version)
    name = "ipv4:" + ",".join(f"127.0.0.1:{one.port}" for one in fleet)
    in_turn = '{"loadBalancingConfig": [{"round_robin": {}}]}'
    settings = ChannelSettings(options=[("grpc.service_config", in_turn)])
    found = set()
    with kind(name, settings=settings, label=label) as client:
        for _ in range(30):
            answer = client.embed_items(["rye bread"])
            wanted = hash_vectors(["rye bread"], dim=16, salt={1: "a", 2: "b"}[answer.version])
            assert answer.vectors.tolist() == wanted.tolist()
            found.add((answer.version, answer.fingerprint))
    assert len(found) == 2
    for one in fleet:
        one.stop()


def test_threads_whose_server_is_killed_and_comes_back_with_another_bundle():
    """Its version stays 1; each vector is of the space that its answer names."""
    ending, failed, wrong = threading.Event(), [], []
    wanted, answers = {}, {"a": 0, "b": 0}
    for salt in answers:
        with FakeServer.with_bundle(ITEMS, salt=salt) as one, Recommender(one.address) as client:
            vector = hash_vectors(["rye bread"], dim=16, salt=salt).tolist()
            wanted[client.recommend([], k=1).fingerprint] = salt, vector

    def ask() -> None:
        while not ending.is_set():
            try:
                answer = client.embed_items(["rye bread"])
            except ClientError as error:
                failed.append(error)
                time.sleep(0.002)
                continue
            except Exception as error:
                wrong.append(error)
                return
            salt, vector = wanted[answer.fingerprint]
            answers[salt] += 1
            if answer.vectors.tolist() != vector:
                wrong.append(answer)

    def reach(salt: str) -> None:
        until, deadline = answers[salt] + 20, time.monotonic() + 30
        while answers[salt] < until:
            assert time.monotonic() < deadline, (answers, failed[-1:], wrong[-1:])
            time.sleep(0.005)

    server = FakeServer.with_bundle(ITEMS, salt="a")
    with server, Recommender(server.address, timeout_s=20) as client:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            for salt in ("b", "a") * 3:
                server.stop()
                server.add_bundle(ITEMS, salt=salt)
                server.start()
                reach(salt)
        finally:
            ending.set()
            for thread in threads:
                thread.join()
    assert not wrong
    assert {type(one) for one in failed} <= {ServerUnreachable, DeadlineExceeded}
