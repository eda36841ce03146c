"""A client around a fork: an answer or a named error, never a hang, and the parent goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dualtower_clients.testing import FakeModel, FakeSignature

PROGRAM = Path(__file__).with_name("forking.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def nothing(inputs):
    return {}


@pytest.mark.parametrize(
    ("case", "child"),
    [
        ("used_before", "ForkedClient: .* make a client in each process, after the fork"),
        ("made_before", "ForkedClient: "),
        ("async_before", "ForkedClient: "),
        ("closed_in_the_child", "an answer"),
        ("closed_in_the_child_while_calls_run", "an answer"),
        ("made_after", "an answer"),
        ("made_after_while_calls_run", "ForkedClient: gRPC cannot be used in process .* 'spawn'"),
        ("made_after_without_support", "ForkedClient: .*GRPC_ENABLE_FORK_SUPPORT"),
        ("nothing_before", "an answer"),
    ],
)
def test_a_fork(server, case, child):
    one = server()
    signatures = {name: FakeSignature(nothing) for name in ("serving_default", "slow")}
    one.add_model("m", FakeModel(signatures))
    one.delay(1.0, signature="slow")
    environment = {k: v for k, v in os.environ.items() if k != "GRPC_ENABLE_FORK_SUPPORT"}
    done = subprocess.run(
        [sys.executable, PROGRAM, case, one.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    said, parent = done.stdout.splitlines()
    assert parent == "parent: went on"
    assert re.match(f"child: {child}", said), said
