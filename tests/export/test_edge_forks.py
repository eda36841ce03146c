"""Forks of a process that has TensorFlow imported: how they end, and what happens without it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dualtower.errors import UnavailableError
from dualtower_export.edge_forks import Forks
from dualtower_export.edge_jobs import conversion_forks, run_jobs
from dualtower_export.edge_worker import NO_SPACE, Job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forks")


@pytest.fixture(scope="module")
def forks(folder: Path) -> Iterator[Forks]:
    with pytest.MonkeyPatch.context() as patch, conversion_forks(folder) as started:
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        yield started


@pytest.fixture(scope="module")
def ask(forks: Forks, folder: Path) -> Callable[..., int]:
    """Has a fork do what fork_work.py knows; its answer is NAME.answer, its log NAME.log."""

    def order(what: str, name: str = "") -> int:
        name = name or what
        request = folder / f"{name}.json"
        request.write_text(json.dumps([what, str(folder / f"{name}.answer")]))
        return forks.run("fork_work", request, folder / f"{name}.log")

    return order


def facts(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.answer").read_text())


def test_each_is_a_process_of_its_own_with_tensorflow_imported(
    ask: Callable[..., int], folder: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:  # each waits until the other is there
        assert list(pool.map(lambda n: ask("meet", f"meet{n}"), range(2))) == [0, 0]
    one, other = facts(folder, "meet0"), facts(folder, "meet1")
    assert one["pid"] != other["pid"]
    assert one["parent"] == other["parent"] != os.getpid()
    assert one["tensorflow"] is True
    assert (one["threads"], one["stdin"]) == ("1", "")


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("end", 0, ""),
        ("raise", 1, "ValueError: no such thing"),
        ("full", NO_SPACE, ""),
        ("killed", -signal.SIGKILL, ""),
    ],
)
def test_how_it_ended_is_told(
    ask: Callable[..., int], folder: Path, what: str, code: int, said: str
) -> None:
    assert ask(what) == code
    assert said in (folder / f"{what}.log").read_text()


def test_what_it_printed_is_in_its_log(ask: Callable[..., int], folder: Path) -> None:
    assert ask("end", "printed") == 0
    assert (folder / "printed.log").read_text() == "work: end\n"


def test_where_the_first_process_is_killed_its_forks_end_and_it_is_said(
    ask: Callable[..., int], folder: Path
) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, "sleep")
        while not (folder / "sleep.answer").exists():
            assert not asked.done()
            time.sleep(0.01)
        sleeping = facts(folder, "sleep")
        os.kill(sleeping["parent"], signal.SIGKILL)
        with pytest.raises(UnavailableError, match=r"was killed.*export\.jobs=1"):
            asked.result(60)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{sleeping['pid']}").exists():
        assert time.monotonic() < deadline, "an orphan"
        time.sleep(0.01)


def test_one_that_cannot_start_is_said(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('no TensorFlow today')")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with Forks(tmp_path, {"PYTHONPATH": paths}) as forks:
        for _ in range(2):  # the second starts another process
            with pytest.raises(UnavailableError, match=r"with code 1:(.|\n)*no TensorFlow today"):
                forks.run("fork_work", tmp_path / "request", tmp_path / "log")


def test_a_forked_job_needs_forks(tmp_path: Path) -> None:
    job = Job("", "item_tower", "float32", 0, 0, 0, "", "", str(tmp_path / "x.tflite"), "")
    with pytest.raises(ValueError, match="x is a forked job, and no forks were given"):
        run_jobs([job], tmp_path, at_once=1)
