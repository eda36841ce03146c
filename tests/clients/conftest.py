"""A served mini bundle, and a gRPC server whose answers a test scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dualtower_serving import RunningServer, start

sys.path.insert(0, str(Path(__file__).parent))  # scripted_server

from scripted_server import KINDS, Answer, ScriptedServer, ok


@pytest.fixture(scope="session")
def served(mini_bundle) -> Iterator[RunningServer]:
    """The mini bundle behind the embedded server."""
    with start(mini_bundle, engine="embedded") as server:
        yield server


@pytest.fixture
def server() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts a gRPC server that answers every method with `answer(method, request, context)`."""
    servers: list[ScriptedServer] = []

    def serve(answer: Answer = ok, **settings: Any) -> ScriptedServer:
        servers.append(ScriptedServer(answer, **settings))
        return servers[-1]

    yield serve
    for one in servers:
        one.stop()


@pytest.fixture
def scripted(server) -> Callable[[Answer], str]:
    """As `server`, for a test that needs the address only."""
    return lambda answer: server(answer).address


@pytest.fixture(params=KINDS)
def client_of(request) -> Iterator[Callable[..., Any]]:
    """Makes clients, of threads and of asyncio: the same test holds for both."""
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(KINDS[request.param](*args, **settings))
