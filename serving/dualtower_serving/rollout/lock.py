"""One operator at a time: a lock that dies with its process, and says who holds it.

    TARGET/rollout/lock      {"by": "ann@build-7", "pid": 4711, "since": "...", "step": "promote"}

What counts is the lock on the open file, which the kernel frees however the process ends. The text
is for the one who has to wait.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from dualtower.errors import UsageError
from dualtower.files import disk_errors, make_folder

__all__ = ["held_alone", "whoami"]


def whoami() -> str:
    """user@host of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextmanager
def held_alone(path: Path, step: str) -> Iterator[None]:
    """Holds the lock at `path` for a step.

    Raises:
        UsageError: somebody else holds it; the message says who, since when and for what.
    """
    with disk_errors(path):
        make_folder(path.parent)
        stream = path.open("a+", encoding="utf-8")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{_holder(path)} is at work on {path.parent.parent}; two at once are not let in. "
                "Wait for it; if its process has ended, the lock has ended too"
            ) from error
        except OSError as error:
            raise UsageError(
                f"{path} cannot be locked ({error.strerror}), so that two operators could not be "
                "kept apart; put the state on a file system with locks by --state FOLDER"
            ) from error
        facts = {
            "by": whoami(),
            "pid": os.getpid(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "step": step,
        }
        stream.truncate(0)
        stream.write(json.dumps(facts) + "\n")
        stream.flush()
        yield


def _holder(path: Path) -> str:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return "{by} (process {pid}, `rollout {step}` since {since})".format(**facts)
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun
        return "another `dualtower rollout`"
