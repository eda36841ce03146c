"""Model servers as processes, and folders that are made once, for the tests of every folder.

The servers are `dualtower-model-server`, in forks of a process that has TensorFlow imported, or
whatever $DUALTOWER_SERVER_CMD names: a command that stays in the foreground, with {flags} where the
flags belong.

    DUALTOWER_SERVER_CMD='tensorflow_model_server {flags}' pytest tests/integration tests/serving

Hypothesis draws the same examples every time, and does not hold them against a clock, so that a
commit is green or is not, on any machine. `pytest --hypothesis-profile=explore` looks for new ones.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent))

from script_fork import run_script
from server_fork import PRELOADED, ServerFork

from dualtower_clients import ClientError, ServingClient
from dualtower_serving.launch import free_port

MINI_BUNDLES = Path(__file__).with_name("serving") / "mini_bundle.py"
VARIABLE = "DUALTOWER_SERVER_CMD"
OURS = f"{shlex.quote(sys.executable)} -m dualtower_serving.embedded.model_server {{flags}}"

settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("same", settings.get_profile("explore"), derandomize=True)
settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    """The files keep the order below; pytest-xdist would put those with the fewest tests last."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: workers that share out files then end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@dataclass
class ModelServer:
    """A model server's process."""

    process: subprocess.Popen[bytes] | ServerFork
    port: int
    log_path: Path

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_ready(self, *models: str, timeout_s: float = 180) -> None:
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

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a folder by name: one worker of pytest-xdist fills it, all of them read it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, whole = root / "once" / name, root / "once" / f"{name}.whole"
        folder.parent.mkdir(exist_ok=True)
        with folder.with_name(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def made_by_script(made_once, forks) -> Callable[..., Path]:
    """Makes a folder, as `made_once` does, by a script that is given the folder and more words."""

    def make(name: str, script: Path, *words: str) -> Path:
        def fill(folder: Path) -> None:
            run_script(forks, script, (folder, *words), folder.with_name(f"{name}.log"))

        return made_once(name, fill)

    return make


@pytest.fixture(scope="session")
def bundles(made_by_script) -> dict[str, Path]:
    """Mini bundles of two embedding spaces, a and b, in versions 1 and 2."""
    names = ("a1", "b1", "b2")
    folder = made_by_script("mini-bundles", MINI_BUNDLES, *names)
    return {name: folder / name for name in names}


@pytest.fixture(scope="session")
def mini_bundle(bundles) -> Path:
    return bundles["a1"]


@pytest.fixture(scope="session")
def forks() -> BaseContext:
    """`Process` of it is a fork of a process that has TensorFlow imported and has not used it.

    For what is killed or counted to the step: an import takes longer than most of what follows.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["dualtower_trainer.train", "dualtower_export.pipeline", PRELOADED]
    )
    return context


@pytest.fixture(scope="session")
def server_command() -> Callable[[Sequence[str]], list[str]]:
    """The command that starts a model server with these flags."""
    template = os.environ.get(VARIABLE) or OURS
    if "{flags}" not in template:
        raise pytest.UsageError(f"{VARIABLE} needs {{flags}} where they belong, got {template!r}")

    first, *rest = shlex.split(template)
    first = shutil.which(first) or first  # tests put stand-ins of the same name in front of PATH

    def command(flags: Sequence[str]) -> list[str]:
        parts = [list(flags) if word == "{flags}" else [word] for word in rest]
        return [first, *(word for part in parts for word in part)]

    return command


@pytest.fixture
def model_server(tmp_path, server_command, forks) -> Iterator[Callable[..., ModelServer]]:
    """Starts a model server with flags, on a free port unless one is given."""
    yield from _launching(tmp_path, server_command, forks)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory, server_command, forks) -> Iterator[Callable[..., ModelServer]]:
    """As `model_server`, for servers that the tests of a module share."""
    yield from _launching(tmp_path_factory.mktemp("server"), server_command, forks)


def _launching(
    folder: Path, server_command: Callable[[Sequence[str]], list[str]], forks: BaseContext
) -> Iterator[Callable[..., ModelServer]]:
    started: list[ModelServer] = []

    def launch(*flags: str, port: int | None = None) -> ModelServer:
        port = port or free_port()
        log_path = folder / f"server-{len(started)}.log"
        arguments = [f"--port={port}", *flags]
        environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "2"}
        process: subprocess.Popen[bytes] | ServerFork
        if VARIABLE not in os.environ:
            process = ServerFork(forks, arguments, log_path, environment)
        else:
            with log_path.open("wb") as log:
                process = subprocess.Popen(
                    server_command(arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,  # a command may be a script; its children end with it
                )
        server = ModelServer(process, port, log_path)
        started.append(server)
        return server

    yield launch
    for server in started:
        if isinstance(server.process, ServerFork):
            server.process.kill()
        elif server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
