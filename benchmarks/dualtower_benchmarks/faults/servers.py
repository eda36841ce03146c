"""Processes that answer, or do worse, and that a fault kills, freezes and starts again.

They are forks of one process that has imported what they need and has done nothing else: a fault
wants several, and an import takes longer than most faults.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from dualtower.errors import UnavailableError
from dualtower_benchmarks.faults import server_worker

__all__ = ["ServerProcess", "started"]

_START_S = 20.0  # a port that was just left is free after a moment

Work = Callable[[Connection, Mapping[str, Any]], None]


class ServerProcess:
    """A process that does what it is told over a pipe; a `FakeServer` unless `job` says otherwise.

    Args:
        job: what it is; see `server_worker`.
        work: what runs in it.

    Attributes:
        facts: what it says when it listens, after `wait`.
    """

    def __init__(
        self, job: Mapping[str, Any] | None = None, work: Work = server_worker.main
    ) -> None:
        self._job, self._work = dict(job or {}), work
        handle, name = tempfile.mkstemp(prefix="dualtower-faults-", suffix=".log")
        os.close(handle)
        self._log = Path(name)
        self.facts: dict[str, Any] = {}
        self._begin()

    def wait(self) -> ServerProcess:
        """Until it listens.

        Raises:
            UnavailableError: it ended; with the last line of what it wrote.
        """
        deadline_s = time.monotonic() + _START_S
        while True:
            try:
                self.facts = self._heard()
                return self
            except UnavailableError:
                if not self._job.get("port") or time.monotonic() > deadline_s:
                    raise
                self._end()
                self._begin()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.facts['port']}"

    def do(self, name: str, **arguments: Any) -> Any:
        """Calls a method of what runs in the process."""
        self._pipe.send((name, arguments))
        return self._heard()

    def restart(self, **changes: Any) -> None:
        """Starts it again at the same port, as new; `changes` are of its job."""
        self._job |= {**changes, "port": self.facts["port"]}
        self._begin()
        self.wait()

    def kill(self) -> None:
        """Ends it as a crash does: by SIGKILL, without a word to its clients."""
        self._end()

    def freeze(self) -> None:
        """Connections stay open, and nothing comes over them any more."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it stood."""
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        """Ends the process."""
        self._end()
        self._log.unlink(missing_ok=True)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def _begin(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([server_worker.__name__])
        self._pipe, far = context.Pipe()
        self._process = context.Process(
            target=_work, args=(self._work, far, self._job, str(self._log)), daemon=True
        )
        self._process.start()
        far.close()

    def _heard(self) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise UnavailableError(f"a server of the faults ended by itself: {last[0]}") from error

    def _end(self) -> None:
        if not self._pipe.closed:
            self._pipe.close()
            self._process.kill()
            self._process.join()
            self._process.close()


def started(stack: ExitStack, *jobs: Mapping[str, Any]) -> Sequence[ServerProcess]:
    """Processes that start side by side; the stack ends them."""
    begun = [stack.enter_context(ServerProcess(job)) for job in jobs]
    return [one.wait() for one in begun]


def _work(work: Work, pipe: Connection, job: Mapping[str, Any], log: str) -> None:
    """In the process: what it writes goes to the log, and Ctrl-C is its parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    work(pipe, job)
