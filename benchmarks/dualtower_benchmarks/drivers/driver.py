"""What every driver is: something that load can be sent to, by clients that it makes.

A driver is opened in the process that generates the load (`load.worker`). It prepares all requests
beforehand, so that the clock sees the work alone; requests are asked for by number and repeat from
the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from dualtower.errors import UnavailableError

__all__ = ["Blocking", "Driver", "NotHere", "Target"]


class NotHere(UnavailableError):
    """This machine lacks what the case is about: a GPU, an optional library, a variant's file.

    A run goes on without the case and says so, where another error would end it.
    """


class Blocking(Protocol):
    """A client that can be asked and waited for, which is all that a closed loop needs."""

    def call(self, index: int) -> str:
        """Sends request `index` (they repeat from the start) and waits: "OK" or an error's name."""


class Target(Blocking, Protocol):
    """A client that can also be asked without waiting, as an open loop needs."""

    def send(self, index: int, done: Callable[[str], None]) -> None:
        """The same without waiting; `done` gets the status, on any thread."""


class Driver(Protocol):
    """A thing to measure. Closing it closes its clients."""

    def connect(self) -> Blocking:
        """A further client, which one thread at a time may use: a connection, an interpreter.

        A client that also has `send` (a `Target`) is given to an open loop as it is; one that
        blocks is put behind `Pooled` workers.
        """

    def check(self) -> None:
        """Asks once and holds that the answer is one: a row for each row, finite numbers.

        Raises:
            DualtowerError: the thing cannot be measured, with what to do.
        """

    def facts(self) -> dict[str, Any]:
        """What was found, never what was asked for: `device`, `device_name`, versions, threads."""

    def close(self) -> None:
        """Ends connections, interpreters and threads."""
