"""A process that takes training steps on demand, so that two engines can take turns.

Both sides speak lines of JSON over pipes: a job goes in, `facts` come out (`ready` names the
versions); then each `{"steps": n}` is answered by what the engine says of n steps. Between turns a
process only waits.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

from dualtower.errors import UnavailableError

__all__ = ["Killed", "Peer", "script"]

_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_ENDING_S = 5.0


class Killed(UnavailableError):
    """A process that somebody killed, as the system does where memory runs out."""


class Peer:
    """One engine in a process of its own; use it in a `with`.

    Args:
        name: for messages.
        command: the program that speaks the protocol.
        job: its first line.
        threads: of its matrix products; None leaves them to the process.
        environment: further variables.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        job: Mapping[str, Any],
        *,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed by __exit__
        bound = dict.fromkeys(_THREADS, str(threads)) if threads is not None else {}
        try:
            self._process = subprocess.Popen(
                list(command),
                env={**os.environ, **bound, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
        except OSError as error:
            self._log.close()
            raise UnavailableError(
                f"{name}: {command[0]} cannot be run ({error.strerror})"
            ) from error
        try:
            self.facts: dict[str, Any] = self.ask(
                {**job, "threads": threads} if threads is not None else job
            )
        except UnavailableError:
            self.__exit__(None, None, None)
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def steps(self, count: int) -> dict[str, Any]:
        """Takes `count` steps; `seconds` and `losses` have one entry a step."""
        return self.ask({"steps": count})

    def ask(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a line and waits for the answer.

        Raises:
            Killed: the process was killed.
            UnavailableError: it ended otherwise; with the last line of what it wrote.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError) as error:
            raise self._ended() from error
        return answer

    def _ended(self) -> UnavailableError:
        """Why there is no answer."""
        try:
            code = self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:  # it lives, and said what is no answer
            self._process.kill()
            code = None
        if code == -signal.SIGKILL:
            return Killed(f"{self.name} was ended by the system, most likely for its memory")
        self._log.seek(0)
        last = self._log.read().strip().splitlines()[-1:] or ["no message"]
        return UnavailableError(f"{self.name} ended before its time: {last[0]}")

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


def script(name: str) -> str:
    """The path of a program, by its name below this folder."""
    return str(Path(__file__).parent / name)
