"""Starts a server for a bundle, waits until all of its models answer, and ends it in order."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from dualtower.bundle import MODELS, Bundle
from dualtower.errors import BundleError, UnavailableError, UsageError
from dualtower.server_compute import AIMS
from dualtower_clients import ClientError, ServingClient
from dualtower_serving import engines, supervise
from dualtower_serving.engines import Plan
from dualtower_serving.failures import explain

__all__ = ["RunningServer", "free_port", "prepare", "start"]

READY_TIMEOUT_S = 180.0
_GRACE_S = 30.0
_POLL_S = 0.1
_KEPT_LINES = 400
# after the models are ready; the stock server goes on without REST if it cannot listen
_REST_S = 10.0


class RunningServer:
    """A server process that serves a bundle; `start` makes one. A context manager that ends it.

    Attributes:
        address: "localhost:PORT", what a client takes.
        port: the port.
        rest_address: the same of REST, "" if it is off.
        rest_port: its port, None if it is off.
        engine: binary, docker or embedded.
        command: the exact command that runs.
        pid: the server's process id (with docker, that of `docker run`).
    """

    def __init__(
        self,
        plan: Plan,
        *,
        port: int,
        rest_port: int | None,
        runtime: Path,
        log: Callable[[str], None] | None,
    ) -> None:
        self.engine = plan.engine
        self.command = plan.command
        self.port = port
        self.address = f"localhost:{port}"
        self.rest_port = rest_port
        self.rest_address = "" if rest_port is None else f"localhost:{rest_port}"
        self.exit_code: int | None = None
        self._log = log
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        orders = {
            "command": plan.command,
            "cleanup": plan.cleanup,
            "runtime": str(runtime),
            "grace_s": _GRACE_S,
        }
        self._supervisor = subprocess.Popen(
            (sys.executable, "-I", "-S", supervise.__file__, json.dumps(orders)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **plan.environment},
            start_new_session=True,  # Ctrl-C reaches us alone; we end the server in order
        )
        self._reader = threading.Thread(target=self._read_log, name="server-log", daemon=True)
        self._reader.start()
        self.pid = self._read_pid()
        self._waiter = threading.Thread(target=self._read_exit, name="server-exit", daemon=True)
        self._waiter.start()

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._waiter.is_alive()

    def log_tail(self, lines: int = 20) -> list[str]:
        """The last lines that the server wrote."""
        return list(self._lines)[-lines:]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits for the server to end by itself; True if it did."""
        self._waiter.join(timeout_s)
        return not self.running

    def close(self) -> None:
        """Ends the server: SIGTERM, and SIGKILL if it does not finish. Safe to call twice."""
        if self._supervisor.stdin is not None and not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()
        self._supervisor.wait()
        self._reader.join(1.0)
        for stream in (self._supervisor.stdout, self._supervisor.stderr):
            if stream is not None and not stream.closed:
                stream.close()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Returns when every model of the bundle has an AVAILABLE version, and REST answers.

        Raises:
            UnavailableError: the server ended, or was not ready in time; with its last lines.
        """
        deadline = time.monotonic() + timeout_s
        waiting = list(MODELS)
        with ServingClient(self.address, timeout_s=2.0) as client:
            while waiting:
                if not self.running:
                    raise self._failure(self.exit_code)
                if time.monotonic() > deadline:
                    raise self._failure(None)
                try:
                    versions = client.status(waiting[0])
                except ClientError:  # not listening yet, or this model is not known yet
                    versions = ()
                if any(one.state == "AVAILABLE" for one in versions):
                    waiting.pop(0)
                else:
                    time.sleep(_POLL_S)
        deadline = time.monotonic() + _REST_S
        while self.rest_port is not None and not _rest_answers(self.rest_port):
            if not self.running:
                raise self._failure(self.exit_code)
            if time.monotonic() > deadline:
                raise self._failure(None)
            time.sleep(_POLL_S)

    def why_it_ended(self) -> str:
        """An explanation by its last lines."""
        return explain(
            self.engine,
            self.exit_code,
            list(self._lines),
            port=self.port,
            rest_port=self.rest_port,
        )

    def _failure(self, exit_code: int | None) -> UnavailableError:
        self._reader.join(1.0 if exit_code is not None else 0.0)
        return UnavailableError(
            explain(
                self.engine,
                exit_code,
                list(self._lines),
                port=self.port,
                rest_port=self.rest_port,
            )
        )

    def _read_pid(self) -> int:
        line = self._control_line()
        return int(line.removeprefix("pid ")) if line.startswith("pid ") else 0

    def _read_exit(self) -> None:
        line = self._control_line()
        self.exit_code = int(line.removeprefix("exit ")) if line.startswith("exit ") else None
        self._supervisor.wait()

    def _control_line(self) -> str:
        assert self._supervisor.stdout is not None
        return self._supervisor.stdout.readline().decode().strip()

    def _read_log(self) -> None:
        assert self._supervisor.stderr is not None
        for raw in self._supervisor.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            self._lines.append(line)
            if self._log is not None:
                self._log(line)


def start(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    engine: str = "auto",
    port: int = 0,
    rest_port: int | None = None,
    batching: bool | None = None,
    image: str = engines.DEFAULT_IMAGE,
    flags: Sequence[str] = (),
    aim: str = AIMS[0],
    ready_timeout_s: float = READY_TIMEOUT_S,
    log: Callable[[str], None] | None = None,
    announce: Callable[[Plan], None] | None = None,
) -> RunningServer:
    """Serves a bundle in a process of its own; returns when all three models answer.

    Args:
        bundle: the folder, or the opened bundle.
        engine: auto, binary, docker or embedded; see `engines`.
        port: where gRPC is answered; 0 takes a free one.
        rest_port: where REST and metrics are answered; 0 takes a free one, None leaves them off.
        batching: whether requests of different callers share a run; None: as the bundle says.
        image: the image of the docker engine.
        flags: further flags of the model server, "--name=value".
        aim: throughput or latency; see `server_compute`.
        ready_timeout_s: how long loading and warm-up may take.
        log: called with each line that the server writes, in a thread.
        announce: called with the plan before the server is started.

    Raises:
        BundleError: the folder is no whole bundle.
        UnavailableError: a port is in use, the engine cannot run, or the start failed.

    Example:
        with start("bundle", engine="embedded") as server:
            Recommender(server.address).recommend(["rye bread"])
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    runtime = Path(tempfile.mkdtemp(prefix="dualtower-serve-"))
    try:
        plan, port, rest_port = prepare(
            opened,
            engine=engine,
            port=port,
            rest_port=rest_port,
            batching=batching,
            image=image,
            flags=flags,
            aim=aim,
            runtime=runtime,
        )
        if announce is not None:
            announce(plan)
        server = RunningServer(plan, port=port, rest_port=rest_port, runtime=runtime, log=log)
    except BaseException:
        _remove(runtime)
        raise
    try:
        server.wait_until_ready(ready_timeout_s)
    except BaseException:
        server.close()
        raise
    return server


def prepare(
    bundle: Bundle,
    *,
    engine: str,
    port: int,
    rest_port: int | None,
    batching: bool | None,
    image: str,
    flags: Sequence[str],
    aim: str = AIMS[0],
    runtime: Path,
) -> tuple[Plan, int, int | None]:
    """The plan, with its configuration written into `runtime`, and the ports."""
    for model in MODELS:
        version = bundle.model_path(model) / str(bundle.version)
        if not (version / "saved_model.pb").is_file():
            raise BundleError(
                f"{bundle.path} lacks {version}/saved_model.pb; "
                f"see what else is wrong with `dualtower verify {bundle.path}`"
            )
    chosen = engines.choose(engine)
    port = port or free_port()
    _check_port(port, option="--port")
    if rest_port is not None:
        rest_port = rest_port or free_port()
        _check_port(rest_port, option="--rest-port")
        if rest_port == port:
            raise UsageError(f"REST and gRPC cannot share port {port}; choose another --rest-port")
    models_config = runtime / "models.config"
    models_config.write_text(bundle.models_config(), encoding="utf-8")
    plan = engines.plan(
        chosen,
        bundle,
        port=port,
        rest_port=rest_port,
        models_config=models_config,
        batching=batching,
        image=image,
        flags=flags,
        aim=aim,
    )
    return plan, port, rest_port


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _rest_answers(port: int) -> bool:
    connection = http.client.HTTPConnection("localhost", port, timeout=2.0)
    try:
        connection.request("GET", f"/v1/models/{MODELS[0]}")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _check_port(port: int, *, option: str) -> None:
    if not 0 < port < 65536:
        raise UsageError(f"a port lies between 1 and 65535, got {option} {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UnavailableError(
                f"port {port} cannot be used ({error.strerror}); stop the server that holds it "
                f"(`ss -ltnp 'sport = :{port}'` names it), or choose another with {option}"
            ) from error


def _remove(runtime: Path) -> None:
    for path in runtime.iterdir():
        path.unlink()
    runtime.rmdir()
