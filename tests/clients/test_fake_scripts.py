"""What makes a test of somebody's own code short: faults that end, lists that are given, texts."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from recommenders import RECOMMENDERS

from dualtower.errors import UsageError
from dualtower_clients import (
    CallPolicy,
    RetryPolicy,
    ServerBusy,
    ServerFailure,
    ServerUnreachable,
    ServingClient,
)
from dualtower_clients.testing import FakeServer

ITEMS = {"b1": "rye bread", "b2": "white bread", "m1": "oat milk", "m2": "whole milk"}
QUICK = CallPolicy(retry=RetryPolicy(max_attempts=2, initial_pause_s=0.01))


@pytest.fixture
def server():
    with FakeServer() as one:
        one.add_model("m", {"y": [1]})
        yield one


def test_a_fault_ends_by_itself_and_leaves_the_others(server):
    with ServingClient(server.address, policy=QUICK) as client:
        server.fail("INTERNAL", "stays", method="GetModelStatus")
        with server.fail("UNAVAILABLE") as fault:
            with pytest.raises(ServerUnreachable):
                client.predict("m", {})
            assert fault.met == 2, "both attempts"
        client.predict("m", {})
        assert fault.met == 2
        with pytest.raises(ServerFailure, match="stays"):
            client.status("m")


@pytest.mark.parametrize(
    "script",
    [
        lambda server: server.delay(0.001),
        lambda server: server.fail("INTERNAL"),
        lambda server: server.fill_queue(),
        lambda server: server.garble(b""),
        lambda server: server.swell(10),
    ],
    ids=["delay", "fail", "fill_queue", "garble", "swell"],
)
def test_each_fault_counts_and_ends(server, script):
    with ServingClient(server.address, policy=CallPolicy(retry=None)) as client:
        fault = script(server)
        with suppress(ServerFailure, ServerBusy):
            client.predict("m", {})
        fault.end()
        fault.end()
        assert client.predict("m", {}).outputs["y"] == [1]
    assert fault.met == 1


@pytest.mark.parametrize("kind", RECOMMENDERS)
def test_what_is_recommended_is_given(kind):
    asked = []

    def rank(history):
        asked.append(list(history))
        return ["m2", "m1", "b1"]

    with (
        FakeServer.with_bundle(ITEMS, rank=rank) as server,
        RECOMMENDERS[kind](server.address) as client,
    ):
        best = client.recommend(["rye bread"], k=2)
        assert best.item_ids == ("m2", "m1")
        assert best.scores.tolist() == [1, 0.5]
        assert client.recommend(["oat milk"], k=3).item_ids == ("m2", "b1"), "not what is known"
        found = client.recommend_by_ids(["b2"], k=3, exclude=["m2"])
        assert found.item_ids == ("m1", "b1")
        assert asked == [["rye bread"], ["oat milk"], ["b2"]]
        (call,) = server.calls_of(signature="from_item_ids")
        assert call.texts("item_ids") == [["b2"]]
        assert call.texts("exclude") == [["m2"]]


def test_a_list_with_an_unknown_item_is_named():
    with (
        FakeServer.with_bundle(ITEMS, rank=lambda history: ["b1", "gone"]) as server,
        RECOMMENDERS["threads"](server.address) as client,
        pytest.raises(ServerFailure, match="rank gave 'gone', which is no item of the bundle"),
    ):
        client.recommend([], k=1)


def test_texts_of_a_call(server):
    with ServingClient(server.address) as client:
        client.predict("m", {"rows": [["é", "b"], ["c", ""]], "flat": ["a"], "n": [1]})
        client.status("m")
    call, other = server.calls
    assert call.texts("rows") == [["é", "b"], ["c"]]
    assert call.texts("flat") == ["a"]
    assert call.texts("n") == [1], "numbers stay what they are"
    with pytest.raises(UsageError, match="no input 'nope', only flat, n, rows"):
        call.texts("nope")
    with pytest.raises(UsageError, match="only none"):
        other.texts("rows")
    assert str(call) == "Predict m serving_default"


def test_what_is_printed_says_where_it_listens(server):
    assert repr(server) == f"FakeServer('localhost:{server.port}')"


def test_a_hold_that_waits_in_vain_names_what_it_holds(server):
    def ask() -> None:
        with ServingClient(server.address) as client:
            client.predict("m", {})

    with server.hold() as held:
        thread = threading.Thread(target=ask)
        thread.start()
        held.wait()
        with pytest.raises(TimeoutError, match="waited for 2: Predict m serving_default"):
            held.wait(2, timeout_s=0.01)
    thread.join()


def test_it_listens_where_a_container_finds_it():
    with FakeServer(host="0.0.0.0") as server, ServingClient(server.address) as client:
        server.add_model("m", {"y": [1]})
        client.predict("m", {})
        assert server.address == f"localhost:{server.port}"
