"""Another server behind one address and version: its answers do not pass for the first one's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import grpc
import pytest
from recommenders import RECOMMENDERS

from dualtower.errors import BundleMismatch
from dualtower_clients import Recommender
from dualtower_clients._links import Links, state_reader
from dualtower_clients.errors import ModelNotFound
from dualtower_clients.testing import FakeServer

ITEMS = {"b1": "rye bread", "b2": "white bread", "m1": "oat milk"}


class Switch:
    """A balancer of connections: each goes to the backend of its moment, and ends by `turn`."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def turn(self, backend: str) -> None:
        self._backend = backend
        self._hang_up()

    def close(self) -> None:
        self._listening.close()
        self._hang_up()

    def _hang_up(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            end.close() if end.fileno() < 0 else end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            host, _, port = self._backend.rpartition(":")
            far = socket.create_connection((host, int(port)))
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(one: socket.socket, other: socket.socket) -> None:
    try:
        while chunk := one.recv(65536):
            other.sendall(chunk)
    except OSError:
        pass
    finally:
        for end in (one, other):
            end.close()


@pytest.fixture(params=RECOMMENDERS)
def kind(request) -> type:
    return RECOMMENDERS[request.param]


@pytest.fixture
def shop() -> Iterator[FakeServer]:
    with FakeServer.with_bundle(ITEMS) as server:
        yield server


def fingerprint_at(address: str) -> str:
    with Recommender(address) as recommender:
        return recommender.describe()["recommender"].fingerprint


def test_a_restart_with_another_bundle_of_the_same_version_is_noticed(kind, shop):
    with kind(shop.address) as recommender:
        before = recommender.recommend(["rye bread"]).fingerprint
        for round_ in range(3):
            shop.stop()
            shop.add_bundle(ITEMS, version=1, salt=f"round {round_}")
            shop.start()
            after = recommender.recommend(["rye bread"])
            assert after.fingerprint == fingerprint_at(shop.address) != before
            assert after.version == 1
            before = after.fingerprint


def test_what_the_caller_holds_is_checked_after_a_restart(kind, shop):
    held = fingerprint_at(shop.address)
    with kind(shop.address, expect_fingerprint=held) as recommender:
        recommender.embed_items(["rye bread"])
        shop.stop()
        shop.add_bundle(ITEMS, version=1, salt="another")
        shop.start()
        with pytest.raises(BundleMismatch, match=held):
            recommender.embed_items(["rye bread"])


def test_a_balancer_that_turns_to_another_server_is_noticed(kind, shop):
    with FakeServer() as other:
        other.add_bundle(ITEMS, version=1, salt="other")
        switch = Switch(shop.address)
        try:
            with kind(switch.address) as recommender:
                assert recommender.embed_items(["milk"]).fingerprint == fingerprint_at(shop.address)
                switch.turn(other.address)
                found = recommender.embed_items(["milk"]).fingerprint
                assert found == fingerprint_at(other.address)
        finally:
            switch.close()


def test_a_model_that_was_unloaded_may_come_back_as_another(kind, shop):
    with kind(shop.address) as recommender:
        recommender.recommend(["rye bread"])
        shop.fail("NOT_FOUND", calls=[0])
        with pytest.raises(ModelNotFound):
            recommender.recommend(["rye bread"])
        shop.add_bundle(ITEMS, version=1, salt="new")
        found = recommender.recommend(["rye bread"]).fingerprint
        assert found == fingerprint_at(shop.address)


@pytest.mark.parametrize("served_by", ["fake", "embedded"])
def test_our_own_servers_name_their_run(client_of, shop, served_by, request):
    is_fake = served_by == "fake"
    address = shop.address if is_fake else request.getfixturevalue("served").address
    clients = [client_of(address), client_of(address)]
    said = {
        client.predict("item_tower", {}, signature="describe").instance
        for client in (*clients, *clients)
    }
    assert len(said) == 1
    assert all(said)
    if is_fake:
        shop.restart()
        assert clients[0].predict("item_tower", {}, signature="describe").instance not in said


def test_a_model_that_is_exchanged_under_its_version_is_noticed(kind, shop):
    with kind(shop.address) as recommender:
        for round_ in range(5):
            shop.add_bundle(ITEMS, version=1, salt=f"round {round_}")
            answer = recommender.embed_items(["milk"])
            assert answer.fingerprint == fingerprint_at(shop.address)


def test_a_connection_that_stands_costs_no_further_question(kind, shop):
    with kind(shop.address) as recommender:
        recommender.recommend(["rye bread"])
        asked = len(shop.calls)
        for _ in range(5):
            recommender.recommend(["rye bread"])
        assert len(shop.calls) == asked + 5


def test_a_loss_is_told_once_and_only_of_what_stood():
    state, told = grpc.ChannelConnectivity, []
    now = [state.IDLE]
    links = Links([lambda: now[0]])
    links.watch(lambda: told.append(1))
    links.look(0)
    links.answered(0)
    links.look(0)  # the connection was lost after the answer
    links.look(0)
    assert len(told) == 1
    now[0] = state.READY
    links.look(0)
    now[0] = state.CONNECTING
    links.look(0)
    assert len(told) == 2


def test_where_grpc_has_no_state_to_read_nothing_is_told():
    told: list[int] = []
    links = Links([state_reader(object())])
    links.watch(lambda: told.append(1))
    links.answered(0)
    links.look(0)
    assert not told


def test_the_installed_grpc_has_a_state_to_read():
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        assert state_reader(channel)() is grpc.ChannelConnectivity.IDLE
