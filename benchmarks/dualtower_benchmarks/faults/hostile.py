"""Ends of connections that are no model server: silence, noise, a name server, a relay.

Each has a `port` and threads of its own; they live in a process of the benchmark.
"""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

__all__ = ["Garbage", "NameServer", "Relay", "Silent"]

_HEADER_BYTES = 12  # of a message of the domain name system
_ADDRESS, _INTERNET = b"\0\1", b"\0\1"  # a question's type and class
_NO_TTL = b"\0\0\0\0"
_NOISE_BYTES = 200


class Silent:
    """Takes connections, and never says a word."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def count(self) -> int:
        """Connections that were taken."""
        return len(self._taken)

    def _take(self) -> None:
        while True:
            self._taken.append(self._listening.accept()[0])


class Garbage:
    """Answers each connection with random bytes, then hangs up."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self._random = random.Random(0)
        self._answered = 0
        threading.Thread(target=self._take, daemon=True).start()

    def count(self) -> int:
        """Connections that got noise."""
        return self._answered

    def _take(self) -> None:
        while True:
            taken = self._listening.accept()[0]
            with suppress(OSError), taken:
                taken.sendall(self._random.randbytes(_NOISE_BYTES))
                self._answered += 1


class NameServer:
    """Answers every question for IPv4 addresses with one host."""

    def __init__(self) -> None:
        self._host = "127.0.0.1"
        self._asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def point(self, *, host: str) -> None:
        """From now on every name has this address."""
        self._host = host
        self._asked = 0

    def count(self) -> int:
        """Questions for the present address."""
        return self._asked

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(4096)
            self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        end = question.index(b"\0", _HEADER_BYTES) + 5
        is_known = question[end - 4 : end - 2] == _ADDRESS
        record = b""
        if is_known:
            self._asked += 1
            host = socket.inet_aton(self._host)
            record = b"\xc0\x0c" + _ADDRESS + _INTERNET + _NO_TTL + b"\0\4" + host
        counts = b"\0\1" + bytes([0, is_known]) + b"\0\0\0\0"
        return question[:2] + b"\x81\x80" + counts + question[_HEADER_BYTES:end] + record


class Relay:
    """Passes the bytes of `host`:`port` on to a port of 127.0.0.1, and back."""

    def __init__(self, host: str, port: int, target_port: int) -> None:
        self.port = port
        self._target = "127.0.0.1", target_port
        self._listening = socket.create_server((host, port), backlog=128)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            near = self._listening.accept()[0]
            far = socket.create_connection(self._target)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pass, args=(source, target), daemon=True).start()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
