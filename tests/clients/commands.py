"""`dualtower ...` for tests: in a process of its own, or in this one, which takes a tenth of it."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from dualtower.cli import main

COMMAND = [sys.executable, "-c", "from dualtower.cli import main; main()"]


def in_process(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What the command says, from arguments to exit code, without a new interpreter."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    with redirect_stdout(out), redirect_stderr(err), mock.patch("sys.stdin", given):
        try:
            main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def in_new_process(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The same, as a shell starts it."""
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, check=False
    )
