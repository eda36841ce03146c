"""A name with several addresses, and one whose addresses change: by a name server of the test."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest
from serving_clients import predicted

from dualtower.errors import UnavailableError
from dualtower_clients import ServerUnreachable

_HEADER_BYTES = 12
_ADDRESS, _INTERNET = b"\0\1", b"\0\1"  # a question's type and class


class NameServer:
    """Answers every question for IPv4 addresses with `hosts`."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = hosts
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(4096)
            if not question:
                return
            self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        end = question.index(b"\0", _HEADER_BYTES) + 5
        wanted = question[end - 4 : end - 2]
        hosts = self.hosts if wanted == _ADDRESS else []
        records = b"".join(
            b"\xc0\x0c" + _ADDRESS + _INTERNET + b"\0\0\0\0\0\4" + socket.inet_aton(host)
            for host in hosts
        )
        counts = b"\0\1" + len(hosts).to_bytes(2, "big") + b"\0\0\0\0"
        return question[:2] + b"\x81\x80" + counts + question[_HEADER_BYTES:end] + records


@pytest.fixture
def names():
    server = NameServer([])
    yield server
    server.close()


@pytest.fixture
def pair(server):
    """Two servers on one port, at two addresses."""
    first = server()
    try:
        return first, server(host="127.0.0.2", port=first.port)
    except UnavailableError:
        pytest.skip("there is no 127.0.0.2 here")


def test_calls_go_round_among_the_addresses_of_a_name(pair, names, client_of):
    names.hosts = ["127.0.0.1", "127.0.0.2"]
    client = client_of(f"dns://{names.address}/models.test:{pair[0].port}")
    for _ in range(40):  # the first few may come before both are connected
        client.predict("m", {})
    assert sum(predicted(one) for one in pair) == 40
    assert min(predicted(one) for one in pair) >= 10


def test_a_name_that_points_elsewhere_is_followed(pair, names, client_of):
    old, new = pair
    names.hosts = ["127.0.0.1"]
    client = client_of(f"dns://{names.address}/models.test:{old.port}", timeout_s=30)
    client.predict("m", {})
    names.hosts = ["127.0.0.2"]
    old.stop()
    deadline = time.monotonic() + 30
    while not new.calls:
        assert time.monotonic() < deadline
        with suppress(ServerUnreachable):  # while the old address is still tried
            client.predict("m", {})
    assert predicted(old) == 1
