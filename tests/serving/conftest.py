"""Mini bundles, and model servers as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dualtower_clients import ClientError, ServingClient
from dualtower_serving.launch import free_port

BUILDER = Path(__file__).with_name("mini_bundle.py")


@dataclass
class ModelServer:
    """A `dualtower-model-server` process."""

    process: subprocess.Popen[bytes]
    port: int
    log_path: Path

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_ready(self, *models: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        with ServingClient(self.address) as client:
            for model in models:
                while True:
                    assert self.process.poll() is None, self.log
                    assert time.monotonic() < deadline, self.log
                    try:
                        if any(one.state == "AVAILABLE" for one in client.status(model)):
                            break
                    except ClientError:
                        pass
                    time.sleep(0.05)

    def wait_logged(self, text: str, *, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory) -> dict[str, Path]:
    """Mini bundles of two embedding spaces, a and b, in versions 1 and 2."""
    folder = tmp_path_factory.mktemp("bundles")
    names = ("a1", "b2")
    subprocess.run([sys.executable, BUILDER, folder, *names], check=True, capture_output=True)
    return {name: folder / name for name in names}


@pytest.fixture(scope="session")
def mini_bundle(bundles) -> Path:
    return bundles["a1"]


@pytest.fixture
def model_server(tmp_path) -> Iterator[Callable[..., ModelServer]]:
    """Starts `dualtower-model-server` with flags, on a free port unless one is given."""
    yield from _launching(tmp_path)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory) -> Iterator[Callable[..., ModelServer]]:
    """As `model_server`, for servers that the tests of a module share."""
    yield from _launching(tmp_path_factory.mktemp("server"))


def _launching(folder: Path) -> Iterator[Callable[..., ModelServer]]:
    started: list[ModelServer] = []

    def launch(*flags: str, port: int | None = None) -> ModelServer:
        port = port or free_port()
        log_path = folder / f"server-{len(started)}.log"
        module = "dualtower_serving.embedded.model_server"
        command = [sys.executable, "-m", module, f"--port={port}", *flags]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TF_NUM_INTRAOP_THREADS": "2"},
            )
        server = ModelServer(process, port, log_path)
        started.append(server)
        return server

    yield launch
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
