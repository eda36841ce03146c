"""A model server in a fork of a process that has TensorFlow imported, which saves it the import."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import BaseContext
from pathlib import Path

PRELOADED = "dualtower_serving.embedded.running"


def serve(flags: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    """What `dualtower-model-server` does, with a session, a log and an environment of its own."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for stream, path, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, log, os.O_WRONLY | os.O_APPEND),
    ):
        file = os.open(path, mode, 0o666)
        os.dup2(file, stream)
        os.close(file)
    logging.getLogger().handlers.clear()
    sys.argv = ["dualtower-model-server", *flags]
    from dualtower_serving.embedded.model_server import main

    main()


class ServerFork:
    """As much of a `subprocess.Popen` as tests of servers use."""

    def __init__(
        self, forks: BaseContext, flags: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        log.touch()
        self._process = forks.Process(  # type: ignore[attr-defined]
            target=serve, args=(list(flags), log, dict(environment))
        )
        self._process.start()
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("dualtower-model-server", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
