"""A served mini bundle, and fake servers, with clients of both kinds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dualtower_clients.testing import Call, FakeServer
from dualtower_serving import RunningServer, start

sys.path.insert(0, str(Path(__file__).parent))  # serving_clients, recommenders

from serving_clients import KINDS


@pytest.fixture(scope="session")
def served(mini_bundle) -> Iterator[RunningServer]:
    """The mini bundle behind the embedded server."""
    with start(mini_bundle, engine="embedded") as server:
        yield server


@pytest.fixture
def server() -> Iterator[Callable[..., FakeServer]]:
    """Starts fake servers with a model `m`, whose answer is without outputs."""
    with ExitStack() as stack:

        def serve(*, host: str = "127.0.0.1", **settings: Any) -> FakeServer:
            one = stack.enter_context(FakeServer(host=host, **settings))
            one.add_model("m", {})
            return one

        yield serve


@pytest.fixture
def garbled(server) -> Callable[[bytes | Callable[[Call], bytes]], str]:
    """The address of a server that answers any call with these bytes."""

    def serve(answer: bytes | Callable[[Call], bytes]) -> str:
        one = server()
        one.garble(answer)
        return one.address

    return serve


@pytest.fixture(params=KINDS)
def client_of(request) -> Iterator[Callable[..., Any]]:
    """Makes clients, of threads and of asyncio: the same test holds for both."""
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(KINDS[request.param](*args, **settings))
