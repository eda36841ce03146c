"""A result that finds no room is an error with a name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dualtower_clients.testing import FakeServer

FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


def into_full(*arguments: str) -> subprocess.CompletedProcess[str]:
    with FULL.open("w") as full:
        return subprocess.run(
            [sys.executable, "-c", "from dualtower.cli import main; main()", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )


def test_a_result_that_finds_no_room_is_named():
    with FakeServer() as server:
        server.add_model("m", {"y": [1.0]})
        for form in (["--json"], []):
            done = into_full("predict", "m", "--address", server.address, *form)
            assert done.returncode == 2
            assert "cannot write: No space left on device" in done.stderr
            assert "Traceback" not in done.stderr
            assert "Exception ignored" not in done.stderr


def test_a_help_that_finds_no_room_is_named():
    done = into_full("--help")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
