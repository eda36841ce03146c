"""The caller's side of `edge_fork_server`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from dualtower.errors import UnavailableError
from dualtower_export.edge_fork_server import Order

__all__ = ["Forks"]

_TAIL_CHARACTERS = 2000


class Forks:
    """Runs work in forks of one process, which is started with the first and ends with `close`.

    Args:
        scratch: a folder for what the process says.
        environment: of the process and its forks.

    Example:
        with Forks(scratch, environment) as forks:
            code = forks.run("dualtower_export.edge_worker", request, log)
    """

    def __init__(self, scratch: Path, environment: Mapping[str, str]) -> None:
        self._log = scratch / "forks.log"
        self._scratch = scratch
        self._environment = environment
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._waiting: dict[str, Future[int]] = {}

    def __enter__(self) -> Forks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, module: str, request: Path, log: Path) -> int:
        """Exit code of a fork that did the `work` of a module; may be called by many threads.

        Raises:
            UnavailableError: the process that makes the forks ended.
        """
        order = Order(module, str(request), str(log))
        with self._lock:
            process = self._running()
            end = self._waiting[order.request] = Future()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # the reader finds the end, and says why
                process.stdin.write(order.to_json().encode() + b"\n")
                process.stdin.flush()
        return end.result()

    def close(self) -> None:
        """Ends the process, and with it what still runs."""
        with self._lock:
            process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        reader.join()
        process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "dualtower_export.edge_fork_server", str(self._scratch)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, **self._environment},
                )
            self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
            self._reader.start()
        return self._process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                request, _, code = line.decode().rstrip("\n").rpartition("\t")
                with self._lock:
                    end = self._waiting.pop(request)
                end.set_result(int(code))
        ended = process.wait()
        with self._lock:
            left, self._waiting = self._waiting, {}
            self._process = self._reader = None  # a further order starts another
        for end in left.values():
            end.set_exception(UnavailableError(self._why(ended)))

    def _why(self, code: int) -> str:
        if code == -signal.SIGKILL:
            return (
                "the process of the conversions was killed, most likely for want of memory; "
                "run again with --set export.jobs=1, or on a machine with more"
            )
        said = self._log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:].strip()
        return f"the process of the conversions ended with code {code}:\n{said}"
