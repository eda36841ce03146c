"""A model behind a server: what gRPC and REST have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from dualtower_benchmarks.drivers.driver import Blocking, NotHere

__all__ = ["DEADLINE_S", "ServedDriver", "address_of"]

DEADLINE_S = 10.0  # of a job that gives none


class Connection(Blocking, Protocol):
    """A client with a connection of its own."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Connection)


class ServedDriver(Generic[C]):
    """Requests that were prepared, a connection for each client.

    Args:
        connected: makes a client.
        check: asks by a client once, and raises where the answer is none.
        facts: of the requests and of the client's library.
    """

    def __init__(
        self, connected: Callable[[], C], check: Callable[[C], None], facts: Mapping[str, Any]
    ) -> None:
        self._connected, self._check = connected, check
        # a server does not say on what it runs
        self._facts = {"device": "unknown", **facts}
        self._clients: list[C] = []

    def connect(self) -> C:
        client = self._connected()
        self._clients.append(client)
        return client

    def check(self) -> None:
        client = self._connected()
        try:
            self._check(client)
        finally:
            client.close()

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()


def address_of(job: Mapping[str, Any], key: str, option: str) -> str:
    """The job's address of one interface.

    Raises:
        NotHere: the server that was given has it at no address that was told.
    """
    address = str(job.get(key) or "")
    if not address:
        raise NotHere(f"the server was given without its {option}")
    return address
