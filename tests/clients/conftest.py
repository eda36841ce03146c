"""A served mini bundle, and a gRPC server whose answers a test scripts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from dualtower_serving import RunningServer, start

BUILDER = Path(__file__).parent.parent / "serving" / "mini_bundle.py"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory) -> dict[str, Path]:
    """Mini bundles of two embedding spaces, a and b, in versions 1 and 2."""
    folder = tmp_path_factory.mktemp("bundles")
    names = ("a1", "b1", "b2")
    subprocess.run([sys.executable, BUILDER, folder, *names], check=True, capture_output=True)
    return {name: folder / name for name in names}


@pytest.fixture(scope="session")
def mini_bundle(bundles) -> Path:
    return bundles["a1"]


@pytest.fixture(scope="session")
def served(mini_bundle) -> Iterator[RunningServer]:
    """The mini bundle behind the embedded server."""
    with start(mini_bundle, engine="embedded") as server:
        yield server


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    """Starts a gRPC server that answers every method with `answer(method, request, context)`."""
    servers = []

    class Everything(grpc.GenericRpcHandler):
        def __init__(self, answer):
            self._answer = answer

        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: self._answer(details.method, request, context)
            )

    def serve(answer) -> str:
        server = grpc.server(
            futures.ThreadPoolExecutor(4),
            handlers=(Everything(answer),),
            options=(("grpc.max_receive_message_length", -1),),
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield serve
    for server in servers:
        server.stop(None)
