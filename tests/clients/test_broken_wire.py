"""Connections that a test breaks below gRPC: a named error, or an answer."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import numpy as np
import pytest
import trustme

from dualtower.errors import UsageError
from dualtower_clients import (
    BalancePolicy,
    CallPolicy,
    ChannelSettings,
    DeadlineExceeded,
    RetryPolicy,
    ServerUnreachable,
    ServingClient,
    TlsSettings,
)
from dualtower_clients.testing import FakeServer, Wire

ONCE = CallPolicy(retry=None)


@pytest.fixture(scope="module")
def behind():
    with FakeServer() as one:
        one.add_model("m", lambda inputs: {"y": inputs["x"]})
        yield one


@pytest.fixture
def wire(behind):
    with Wire(behind.address) as one:
        yield one


X = np.arange(300_000, dtype=np.float32)


def ask(client, timeout_s: float = 20.0) -> None:
    """Several chunks of the wire each way, and what comes back is what was sent."""
    np.testing.assert_array_equal(
        client.predict("m", {"x": X}, timeout_s=timeout_s).outputs["y"], X
    )


def answers_again(client) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            return ask(client)
        except ServerUnreachable:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_what_passes_is_what_was_sent(wire, client_of):
    client = client_of(wire.address)
    for _ in range(3):
        ask(client)
    assert wire.opened == 1


def test_an_open_connection_falls_silent_and_goes_on(wire, client_of):
    client = client_of(wire.address, policy=ONCE)
    ask(client)
    wire.fall_silent()
    with pytest.raises(DeadlineExceeded):
        ask(client, timeout_s=0.2)
    wire.heal()
    ask(client)
    assert wire.opened == 1, "nobody has noticed"


def test_keep_alive_notices_a_silent_connection(wire, client_of):
    settings = ChannelSettings(keep_alive_s=1, keep_alive_timeout_s=0.2)
    client = client_of(wire.address, policy=ONCE, settings=settings)
    ask(client)
    wire.fall_silent()
    with pytest.raises(ServerUnreachable):
        client.predict("m", {"x": [1.0]}, timeout_s=30)


def test_a_new_connection_is_silent_too(wire, behind, client_of):
    wire.fall_silent()
    policy = CallPolicy(
        retry=RetryPolicy(attempt_timeout_s=0.5), balance=BalancePolicy(pick="round_robin")
    )
    client = client_of([wire.address, behind.address], policy=policy)
    for _ in range(2):
        assert client.predict("m", {"x": [1.0]}).address == behind.address


@pytest.mark.parametrize("fault", ["reset", "hang_up", "garble"])
def test_connections_that_end_are_named_and_heal(wire, client_of, fault):
    client = client_of(wire.address, policy=ONCE)
    ask(client)
    getattr(wire, fault)()
    for _ in range(2):
        with pytest.raises(ServerUnreachable):
            ask(client, timeout_s=5)
    wire.heal()
    answers_again(client)
    assert wire.opened >= 2


@pytest.mark.parametrize("fault", ["reset", "hang_up", "garble"])
def test_what_a_socket_sees(wire, fault):
    getattr(wire, fault)()
    with socket.create_connection(("localhost", int(wire.address.rpartition(":")[2]))) as client:
        client.settimeout(20)
        if fault == "reset":
            with pytest.raises(ConnectionResetError):
                client.recv(100)
        else:
            assert client.recv(100)[:8] == {"hang_up": b"", "garble": b"HTTP/1.1"}[fault]


def test_a_call_under_way_is_cut(wire, behind, client_of):
    with (
        ServingClient(wire.address, policy=ONCE) as client,
        ThreadPoolExecutor() as pool,
        behind.hold() as held,
    ):
        answer = pool.submit(ask, client)
        held.wait()
        wire.reset()
        with pytest.raises(ServerUnreachable):
            answer.result(20)


def test_bytes_that_take_longer(wire, client_of):
    client = client_of(wire.address)
    ask(client)
    wire.delay(0.03)
    assert client.predict("m", {"x": [1.0]}).elapsed_ms >= 60


def test_tls_passes_through(client_of):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())]
    )
    trusted = TlsSettings(root_certificates=authority.cert_pem.bytes())
    with FakeServer(credentials=credentials) as one, Wire(one.address) as wire:
        one.add_model("m", {"y": [1]})
        client_of(wire.address, settings=ChannelSettings(tls=trusted)).predict("m", {})


def test_nobody_behind_it_is_a_connection_that_ends(client_of):
    with FakeServer() as one:
        address = one.address
    with Wire(address) as wire, pytest.raises(ServerUnreachable):
        client_of(wire.address).predict("m", {}, timeout_s=5)


def test_after_its_end_nobody_listens(behind):
    with Wire(behind.address) as wire:
        pass
    wire.close()
    with suppress(ConnectionRefusedError):
        socket.create_connection(("localhost", int(wire.address.rpartition(":")[2]))).close()
        pytest.fail("somebody listens")


def test_wrong_use_is_named():
    with pytest.raises(UsageError, match="server must be HOST:PORT, got 'localhost'"):
        Wire("localhost")
