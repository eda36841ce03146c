"""Several replicas against one with the joined batch: two devices, and two processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

CHILD = Path(__file__).with_name("replicas_child.py")
LIMIT_S = 240


def start(how: str, chunk_pairs: int, out: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), how, str(chunk_pairs), str(out)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    with process:
        try:
            said, _ = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert process.returncode == 0, said[-3000:]


def equal(one: Path, other: Path) -> None:
    mine, theirs = np.load(one), np.load(other)
    assert sorted(mine.files) == sorted(theirs.files)
    np.testing.assert_allclose(mine["losses"], theirs["losses"], rtol=1e-5)
    for name in mine.files:
        if "key.bias" in name:  # softmax does not see it: Adam scales up the rounding
            continue
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("single") / "one.npz"
    end(start("one", 0, out))
    assert len(set(np.load(out)["losses"])) == 3
    return out


@pytest.mark.slow
@pytest.mark.parametrize("chunk_pairs", [0, 2])
def test_two_devices_equal_one(single: Path, tmp_path: Path, chunk_pairs: int) -> None:
    end(start("two", chunk_pairs, tmp_path / "two.npz"))
    equal(single, tmp_path / "two.npz")


@pytest.mark.slow
def test_two_processes_equal_one(single: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:  # both ports are held until both are known
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    workers = []
    for index in range(2):
        task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        out = tmp_path / f"worker{index}.npz"
        workers.append(start("worker", 0, out, TF_CONFIG=json.dumps(task)))
    try:
        for worker in workers:
            end(worker)
    finally:
        for worker in workers:
            worker.kill()
    for index in range(2):
        equal(single, tmp_path / f"worker{index}.npz")
