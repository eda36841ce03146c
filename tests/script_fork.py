"""A script in a fork of a process that has TensorFlow imported, which saves it the import."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path


def run_script(forks: BaseContext, script: Path, arguments: Sequence[object], log: Path) -> None:
    """As `python SCRIPT ARGUMENTS...`; what it says goes into the log."""
    process = forks.Process(  # type: ignore[attr-defined]
        target=_run, args=(str(script), list(map(str, arguments)), str(log))
    )
    process.start()
    process.join()
    assert process.exitcode == 0, log.read_text(errors="replace")[-4000:]


def _run(script: str, arguments: Sequence[str], log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")
