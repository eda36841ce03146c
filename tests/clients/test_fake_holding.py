"""Calls that a test holds at the server, counts, and waits for: no sleep decides anything."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dualtower_clients import (
    AsyncServingClient,
    CallPolicy,
    DeadlineExceeded,
    ServerUnreachable,
    ServingClient,
)
from dualtower_clients.testing import FakeServer

ONCE = CallPolicy(retry=None)


@pytest.fixture
def server():
    with FakeServer() as one:
        one.add_model("m", {"y": [1]})
        yield one


def in_threads(server: FakeServer, count: int, answers: list) -> list[threading.Thread]:
    """Asks from so many threads at a time."""

    def ask() -> None:
        with ServingClient(server.address, policy=ONCE) as client:
            try:
                answers.append(client.predict("m", {}, timeout_s=50).version)
            except ServerUnreachable as error:
                answers.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(50)
        assert not thread.is_alive()


def test_held_calls_go_on_together_and_meet_the_models_of_then(server):
    answers: list = []
    with server.hold() as held:
        threads = in_threads(server, 3, answers)
        held.wait(3)
        assert held.waiting == 3
        assert not answers
        server.add_model("m", {"y": [1]}, version=2)
    join(threads)
    assert answers == [2, 2, 2]
    assert held.waiting == 0
    with ServingClient(server.address) as client:
        assert client.predict("m", {}).version == 2, "after that nothing is held"


def test_only_those_that_are_meant_are_held(server):
    server.add_model("other", {"y": [1]})
    with server.hold(model="m", calls=[0]) as held, ServingClient(server.address) as client:
        threads = in_threads(server, 1, [])
        held.wait()
        assert client.predict("other", {}).version == 1
        assert client.predict("m", {}).version == 1
        assert held.waiting == 1
    join(threads)


@pytest.mark.parametrize("end", ["heal", "stop"])
def test_healing_and_stopping_end_it_too(server, end):
    answers: list = []
    held = server.hold()
    threads = in_threads(server, 1, answers)
    held.wait()
    getattr(server, end)()
    join(threads)
    assert [type(one) for one in answers] == [int if end == "heal" else ServerUnreachable]
    assert not server.abandoned, "it is not the client that gave up"


def test_a_caller_who_gives_up_is_noticed(server):
    with server.hold() as held, ServingClient(server.address) as client:
        with pytest.raises(DeadlineExceeded):
            client.predict("m", {}, timeout_s=0.1)
        (call,) = server.wait_for_abandoned()
        assert (call.model, call.method) == ("m", "Predict")
        server.heal()
        client.predict("m", {})
    assert held.waiting == 0
    assert len(server.abandoned) == 1, "an answered call is not abandoned"


def test_a_task_that_is_cancelled_abandons_its_call(server):
    async def run() -> None:
        async with AsyncServingClient(server.address, timeout_s=50) as client:
            with server.hold() as held:
                task = asyncio.ensure_future(client.predict("m", {}))
                await asyncio.to_thread(held.wait)
                task.cancel()
                await asyncio.to_thread(server.wait_for_abandoned, 1)
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(run())


def test_calls_are_waited_for_and_picked_out(server):
    server.add_model("other", {"y": [1]})
    with server.hold() as held:
        threads = in_threads(server, 2, [])
        assert len(server.wait_for_calls(2, model="m", signature="serving_default")) == 2
        held.wait(2)
    join(threads)
    with ServingClient(server.address) as client:
        client.predict("other", {}, signature="serving_default")
        client.status("m")
    assert len(server.calls_of()) == 4
    assert len(server.calls_of(model="m")) == 3
    assert len(server.calls_of(model="m", method="Predict")) == 2
    assert [call.model for call in server.calls_of(method="GetModelStatus")] == ["m"]


def test_what_does_not_come_is_told(server):
    with ServingClient(server.address) as client:
        client.status("m")
    with pytest.raises(TimeoutError, match=r"0 calls \(model='m', method='Predict'\) came"):
        server.wait_for_calls(1, model="m", method="Predict", timeout_s=0.01)
    with pytest.raises(
        TimeoutError, match=r"0 calls \(any\) were given up within 0.01 s, waited for 2"
    ):
        server.wait_for_abandoned(2, timeout_s=0.01)
    with pytest.raises(TimeoutError, match=r"0 calls are held after 0.01 s, waited for 1"):
        server.hold().wait(timeout_s=0.01)
