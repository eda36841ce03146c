"""Runs that die before a step on the disk, each with one that goes on: a step further each time.

python dying.py ADDRESS INPUT FOLDER OPTIONS      # FOLDER/out-1 ...; prints how many died
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pyarrow.parquet  # noqa: F401  # imported once, before the processes part

from dualtower_clients.bulk import BulkOptions, embed_file

ADDRESS, SOURCE, FOLDER, OPTIONS = sys.argv[1:]


def embed(out: Path) -> None:
    embed_file(SOURCE, out, address=ADDRESS, options=BulkOptions(**json.loads(OPTIONS)))


def die_before(step: int) -> None:
    """Kills this process before its `step`th call of these."""
    left = step

    def counted(call):
        def counting(*args, **named):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **named)

        return counting

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


def in_a_child(step: int, out: Path) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        if step:
            die_before(step)
        embed(out)
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def main() -> None:
    step = 0
    while True:
        step += 1
        out = Path(FOLDER) / f"out-{step}"
        ended = in_a_child(step, out)
        if ended == 0:
            break
        if ended != -signal.SIGKILL or in_a_child(0, out) != 0:
            sys.exit(f"step {step}: ended with {ended}, or did not go on")
    print(step - 1)


if __name__ == "__main__":
    main()
