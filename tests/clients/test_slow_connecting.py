"""A connection that takes its time, as TLS does on a slow network: the first call waits for it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

_SETTLING_S = 0.6  # more than three attempts of gRPC's shortest length


@pytest.fixture
def slow_to_connect(server):
    """The address of a server whose first byte comes late."""
    one = server()

    def take() -> None:
        with suppress(OSError):
            while True:
                near = listening.accept()[0]
                threading.Thread(target=connect, args=(near,), daemon=True).start()

    def connect(near: socket.socket) -> None:
        time.sleep(_SETTLING_S)
        far = socket.create_connection(("127.0.0.1", one.port))
        threading.Thread(target=copy, args=(near, far), daemon=True).start()
        copy(far, near)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        taking = threading.Thread(target=take, daemon=True)
        taking.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    taking.join()


def test_the_first_call_waits_for_a_slow_connection(slow_to_connect, client_of):
    answer = client_of(slow_to_connect).predict("m", {}, timeout_s=30)
    assert (answer.attempts, answer.failures) == (1, 0)
