"""Files and folders that exist whole or not at all.

Everything is written under a temporary name in the same folder, fsynced, and renamed. A crash
leaves the old content, or none, and at most a temporary that `remove_stale` finds.

The writer of a folder holds a lock on it, which ends with the process. In a container every process
may have the same number, so a number alone does not tell a writer that lives from one that died.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dualtower.errors import UnavailableError, UsageError

__all__ = [
    "atomic_file",
    "atomic_folder",
    "disk_errors",
    "exclusive_lock",
    "fsync_path",
    "fsync_tree",
    "make_folder",
    "remove_stale",
    "write_text",
]

_MARK = ".tmp-"  # NAME.tmp-<pid>-<hex>
_LOCKED = "-locked"  # behind that: a folder that its writer holds a lock on


def _temporary(target: Path) -> Path:
    return target.with_name(f"{target.name}{_MARK}{os.getpid()}-{uuid.uuid4().hex[:8]}")


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turns the disk's own errors into ones that say what to do."""
    target = Path(re.sub(rf"{re.escape(_MARK)}\d+-[0-9a-f]+({_LOCKED})?", "", str(target)))
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UnavailableError(
                f"no space left while writing {target}; nothing was published. "
                f"Free some space (`df -h {target.parent}`) and run the command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UsageError(
                f"{target} cannot be written ({error.strerror}); "
                "choose a folder you may write to, or change its permissions"
            ) from error
        if error.errno == errno.ENOENT:
            raise UsageError(
                f"{target} cannot be written: {error.filename} is not there and cannot be made"
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            files = (parent for parent in target.parents if parent.is_file())
            blocking = next(files, error.filename)
            raise UsageError(
                f"{target} cannot be written: {blocking} is in the way ({error.strerror})"
            ) from error
        raise


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Holds `path` as a lock that dies with the process.

    Raises:
        UsageError: another process holds it.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another dualtower is writing {path.parent}; wait for it, or choose another folder"
            ) from error
        yield


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`; on success it replaces `target`.

    Raises:
        UnavailableError: no space is left.
        UsageError: the folder cannot be written.
    """
    temporary = _temporary(target)
    with disk_errors(target):
        try:
            make_folder(target.parent)
            yield temporary
            fsync_path(temporary)
            os.replace(temporary, target)
            fsync_path(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yields a new temporary folder beside `target`; on success it becomes `target`.

    Raises:
        UsageError: `target` exists already, or its parent cannot be written.
        UnavailableError: no space is left.
    """
    if target.exists():
        raise UsageError(f"{target} exists already; remove it or choose another folder")
    with disk_errors(target), ExitStack() as stack:
        make_folder(target.parent)
        while (temporary := stack.enter_context(_locked_folder(target))) is None:
            pass  # another process took the new folder for a stale one before it was locked
        try:
            yield temporary
            fsync_tree(temporary)
            os.rename(temporary, target)
            fsync_path(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Replaces `target` by `text` in UTF-8, whole or not at all."""
    with atomic_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fsync_tree(folder: Path) -> None:
    """Flushes every file and folder below `folder`, itself last."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            fsync_path(Path(root, name))
        fsync_path(Path(root))


def remove_stale(folder: Path) -> list[Path]:
    """Removes temporaries of dead processes directly in `folder`; returns what was removed."""
    removed = []
    for path in folder.glob(f"*{_MARK}*"):
        pid = path.name.rpartition(_MARK)[2].partition("-")[0]
        if pid.isdigit() and _remove_if_dead(path, int(pid)):
            removed.append(path)
    return removed


def _remove_if_dead(path: Path, pid: int) -> bool:
    if not path.name.endswith(_LOCKED):
        dead = not _alive(pid)
        if dead:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return dead
    with _lock(path) as held:
        dead = held or (held is None and not _alive(pid))
        if dead:
            shutil.rmtree(path)
        return dead


@contextmanager
def _locked_folder(target: Path) -> Iterator[Path | None]:
    """Makes a temporary folder beside `target` and locks it; None if it was gone before that."""
    temporary = _temporary(target)
    temporary = temporary.with_name(temporary.name + _LOCKED)
    temporary.mkdir()
    with _lock(temporary) as held:
        yield temporary if held is not False and temporary.exists() else None


@contextmanager
def _lock(folder: Path) -> Iterator[bool | None]:
    """True: we hold the lock of `folder`. False: another does. None: there are no locks here."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held: bool | None = True
        except BlockingIOError:
            held = False
        except OSError:  # some network file systems lock no folder
            held = None
        yield held
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents; each new name is flushed to the disk."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        fsync_path(place.parent)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def fsync_path(path: Path) -> None:
    """Flushes one file, or the names in one folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
