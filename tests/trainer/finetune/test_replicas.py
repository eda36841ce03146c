"""Several replicas against one with the joined batch: two devices, and two processes."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import ExitStack
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from replicas_child import train_quietly

LIMIT_S = 600
CHUNKS = (0, 2)  # pairs


def start(forks: BaseContext, how: str, outs: dict[int, Path], log: Path, **environment: str):
    """A process that trains once for each number of pairs in a chunk."""
    process = forks.Process(target=train_quietly, args=(how, outs, log, environment))
    process.start()
    return process, log


def end(process, log: Path) -> None:
    process.join(LIMIT_S)
    process.kill()
    process.join()
    assert process.exitcode == 0, log.read_text(errors="replace")[-3000:]


def equal(one: Path, other: Path) -> None:
    mine, theirs = np.load(one), np.load(other)
    assert sorted(mine.files) == sorted(theirs.files)
    np.testing.assert_allclose(mine["losses"], theirs["losses"], rtol=1e-5)
    for name in mine.files:
        if "key.bias" in name:  # softmax does not see it: Adam scales up the rounding
            continue
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def trained(forks: BaseContext, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """On one device, and on two by the size of a chunk: one, two-0, two-2."""
    folder = tmp_path_factory.mktemp("devices")
    one = start(forks, "one", {0: folder / "one.npz"}, folder / "one.log")
    two = start(forks, "two", {n: folder / f"two-{n}.npz" for n in CHUNKS}, folder / "two.log")
    for process in (one, two):
        end(*process)
    assert len(set(np.load(folder / "one.npz")["losses"])) == 3
    return {path.stem: path for path in folder.glob("*.npz")}


@pytest.mark.slow
@pytest.mark.parametrize("chunk_pairs", CHUNKS)
def test_two_devices_equal_one(trained: dict[str, Path], chunk_pairs: int) -> None:
    equal(trained["one"], trained[f"two-{chunk_pairs}"])


@pytest.mark.slow
def test_two_processes_equal_one(
    forks: BaseContext, trained: dict[str, Path], tmp_path: Path
) -> None:
    with ExitStack() as stack:  # both ports are held until both are known
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    workers = []
    for index in range(2):
        task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        out, log = tmp_path / f"worker{index}.npz", tmp_path / f"worker{index}.log"
        workers.append(start(forks, "worker", {0: out}, log, TF_CONFIG=json.dumps(task)))
    try:
        for worker in workers:
            end(*worker)
    finally:
        for process, _ in workers:
            process.kill()
    for index in range(2):
        equal(trained["one"], tmp_path / f"worker{index}.npz")
