"""Watches what this process does to files below a folder, and can kill it at the n-th such thing.

    watch(folder, trace=path)       appends a line for each: "open F", "rename F G", "fsync F" ...
    watch(folder, kill_at=n)        SIGKILL just before the n-th
    watch(folder, kill_at=G)        SIGKILL just before something gets the name G

Python's own calls are seen by an audit hook; `os.fsync` has no audit event, so it is wrapped. What
TensorFlow writes from C++ is not seen.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_CHANGES = {
    "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate",
}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch(
    folder: Path, *, trace: Path | None = None, kill_at: int | str = 0
) -> Callable[..., None]:
    """Begins to watch; it cannot be ended. Returns what to call for things that it cannot see."""
    root = os.path.realpath(folder) + os.sep
    log = -1 if trace is None else os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0

    def happen(what: str, *paths: object) -> None:
        nonlocal count
        names = [os.path.abspath(os.fsdecode(path)) for path in paths]  # type: ignore[arg-type]
        if not any((name + os.sep).startswith(root) for name in names):
            return
        count += 1
        if log >= 0:
            os.write(log, (" ".join([what, *names]) + "\n").encode())
        if count == kill_at or (what == "rename" and names[1] == kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and isinstance(flags, int) and flags & _WRITES:
                happen("open", path)
        elif event in _CHANGES:
            paths = [one for one in arguments[:2] if isinstance(one, (str, bytes, os.PathLike))]
            happen(event.partition(".")[2], *paths)

    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        happen("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    os.fsync = watched_fsync
    sys.addaudithook(hook)
    return happen
