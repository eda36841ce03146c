"""Files that exist whole or not at all, also when the writer is killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualtower.errors import UnavailableError, UsageError
from dualtower.files import (
    atomic_file,
    atomic_folder,
    disk_errors,
    exclusive_lock,
    remove_stale,
    write_text,
)


@contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code`, killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_failed_write_leaves_the_old_content_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "old")

    def fail_half_way() -> None:
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_appears_whole_and_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    with pytest.raises(UsageError, match="exists already"), atomic_folder(target):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(UnavailableError, match=r"no space left .*nothing was published.*df -h"),
        disk_errors(tmp_path / "x"),
    ):
        raise OSError(number, os.strerror(number))


def test_a_really_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """/dev/full gives ENOSPC on every write."""

    def write() -> None:
        with atomic_folder(tmp_path / "out") as temporary:
            (temporary / "full").symlink_to("/dev/full")
            (temporary / "full").write_bytes(b"x")

    with pytest.raises(UnavailableError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_parent_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    expected = rf"{tmp_path}/file/deep/out cannot be written: {tmp_path}/file is in the way"
    for atomic in (atomic_file, atomic_folder):
        with (
            pytest.raises(UsageError, match=expected),
            atomic(tmp_path / "file" / "deep" / "out"),
        ):
            pass
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match="is in the way"),
        atomic_folder(tmp_path / "file" / "below"),
    ):
        pass


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(UsageError, match=r"cannot be written .*choose a folder you may write to"),
        disk_errors(tmp_path / "x"),
    ):
        raise OSError(number, os.strerror(number))


def test_a_killed_writer_leaves_a_temporary_that_the_next_one_removes(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from dualtower.files import atomic_folder\n"
        "with atomic_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'x').write_text('x')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    target = tmp_path / "out"
    with python(code, target) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert remove_stale(tmp_path) == [], "its writer is alive"
    assert not target.exists()
    removed = remove_stale(tmp_path)
    assert len(removed) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dead_writer_with_the_number_of_a_living_process_is_seen(tmp_path: Path) -> None:
    """In a container each run may have the same number as the one that was killed."""
    left = tmp_path / f"out.tmp-{os.getpid()}-0123abcd-locked"
    left.mkdir()
    with atomic_folder(tmp_path / "out") as temporary:
        assert temporary.name.startswith(f"out.tmp-{os.getpid()}-")
        assert remove_stale(tmp_path) == [left]
        assert temporary.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_temporary_without_a_lock_lives_with_its_process(tmp_path: Path) -> None:
    mine = tmp_path / f"download.tmp-{os.getpid()}-abc"
    mine.mkdir()
    assert remove_stale(tmp_path) == []
    mine.rename(tmp_path / f"download.tmp-{_dead_process()}-abc")
    assert len(remove_stale(tmp_path)) == 1


def _dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_lock_is_held_by_one_and_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "work" / ".lock"
    code = (
        "import sys, time, pathlib\n"
        "from dualtower.files import exclusive_lock\n"
        "with exclusive_lock(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with python(code, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another dualtower"), exclusive_lock(path):
            pass
    for _ in range(100):  # the kernel gives the lock back a moment after the process is gone
        try:
            with exclusive_lock(path):
                break
        except UsageError:
            time.sleep(0.05)
    else:
        pytest.fail("the lock outlived its holder")
