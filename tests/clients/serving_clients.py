"""Serving clients of both kinds behind one face, so that the same test holds for both."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from dualtower_clients import AsyncServingClient, ServingClient
from dualtower_clients.testing import FakeServer


class Blocking:
    """An `AsyncServingClient` whose methods a test calls as those of a `ServingClient`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._runner = asyncio.new_event_loop()
        self._client = AsyncServingClient(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **named: self._runner.run_until_complete(value(*args, **named))

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._runner.is_closed():
            self._runner.run_until_complete(self._client.close())
            self._runner.run_until_complete(self._runner.shutdown_default_executor())
            self._runner.close()


KINDS: dict[str, Any] = {"threads": ServingClient, "asyncio": Blocking}


def predicted(server: FakeServer) -> int:
    """How many predictions a server was asked for."""
    return len(server.calls_of(method="Predict"))
