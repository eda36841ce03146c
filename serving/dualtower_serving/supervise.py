"""Keeps a server on a leash: when whoever started it is gone, however it went, so is the server.

    dualtower serve ── stdin (the leash) ──► this process ── own process group ──► server

Run as a program with one JSON argument. The server ends when the leash is let go (end of file, also
when the holder was killed), with SIGTERM first and SIGKILL after a grace; then `cleanup` runs and
`runtime` is removed. On stdout it says `pid N` at the start and `exit CODE` at the end. It needs
the standard library only, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys

__all__ = ["main"]

_POLL_S = 0.05


def main() -> None:
    """Runs the command of the JSON argument: command, cleanup, runtime, grace_s."""
    orders = json.loads(sys.argv[1])
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: told.append(got))
    code = 127
    try:
        server = subprocess.Popen(
            orders["command"], stdin=subprocess.DEVNULL, stdout=2, start_new_session=True
        )
    except OSError as error:
        sys.stderr.write(f"{orders['command'][0]}: {error.strerror}\n")
    else:
        _say(f"pid {server.pid}")
        _wait(server, told)
        code = _end(server, orders["grace_s"])
    if orders["cleanup"]:
        subprocess.run(
            orders["cleanup"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    shutil.rmtree(orders["runtime"], ignore_errors=True)
    _say(f"exit {code}")


def _wait(server: subprocess.Popen[bytes], told: list[int]) -> None:
    """Returns when the server has ended, the leash was let go, or a signal told us to end."""
    while server.poll() is None and not told:
        readable, _, _ = select.select([0], [], [], _POLL_S)
        if readable and not os.read(0, 1):
            return


def _end(server: subprocess.Popen[bytes], grace_s: float) -> int:
    """Ends the whole process group of the server; returns the server's exit code."""
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        if server.poll() is not None and number == signal.SIGTERM:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        try:
            server.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    return server.wait()


def _say(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever listened is gone; that is why we are here
        sys.stdout = None  # type: ignore[assignment]


if __name__ == "__main__":
    main()
