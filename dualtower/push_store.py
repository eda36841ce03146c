"""Where a push writes to: what it asks of a file system, and a folder of this machine.

Paths are strings that begin with the target. URLs have a store of their own, in the export, which
needs TensorFlow for them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dualtower.errors import BundleError, UnavailableError
from dualtower.files import atomic_file, disk_errors, fsync_path, fsync_tree, make_folder
from dualtower.push_parts import PushedFile

__all__ = ["Folder", "Store", "check_arrived", "checked", "folder_errors", "is_same"]

_BLOCK_BYTES = 8 << 20


class Store(Protocol):
    """What a push does to a target."""

    def is_folder(self, path: str) -> bool:
        """Whether a folder is there."""

    def size_bytes(self, path: str) -> int | None:
        """The size of a file; None where there is none."""

    def blocks(self, path: str) -> Iterator[bytes]:
        """The content of a file, a few MB at a time."""

    def names(self, folder: str) -> list[str]:
        """What lies directly in a folder, sorted."""

    def files_below(self, folder: str) -> Iterator[str]:
        """Names of all files below a folder, relative to it; none where it is not there."""

    def write(self, file: PushedFile, path: str) -> None:
        """Puts a file there and reads it back."""

    def publish(self, staged: str, folder: str) -> None:
        """Gives a staged folder its name, which is not there yet."""

    def remove(self, path: str) -> None:
        """Removes a file or a folder, if it is there."""


class Folder:
    """A folder of this machine: each file under a temporary name, flushed, renamed."""

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def size_bytes(self, path: str) -> int | None:
        return os.path.getsize(path) if os.path.isfile(path) else None

    def blocks(self, path: str) -> Iterator[bytes]:
        with open(path, "rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def names(self, folder: str) -> list[str]:
        return sorted(os.listdir(folder))

    def files_below(self, folder: str) -> Iterator[str]:
        for root, _, names in os.walk(folder, onerror=_raise, followlinks=True):
            for name in names:
                yield os.path.relpath(os.path.join(root, name), folder)

    def write(self, file: PushedFile, path: str) -> None:
        with atomic_file(Path(path)) as temporary, temporary.open("wb") as stream:
            for block in checked(file):
                stream.write(block)
        check_arrived(self, file, path)

    def publish(self, staged: str, folder: str) -> None:
        parent = Path(folder).parent
        with disk_errors(parent):
            fsync_tree(Path(staged))
            make_folder(parent)
            os.rename(staged, folder)
            fsync_path(parent)

    def remove(self, path: str) -> None:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.remove(path)


@contextmanager
def folder_errors(target: str) -> Iterator[None]:
    """Turns what a disk says while it is read into words that say what to do."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{target} cannot be used ({error.filename}: {error.strerror}); what arrived stays, "
            "and the same push goes on from there. Check your rights and the disk, then push again"
        ) from error


def is_same(store: Store, path: str, file: PushedFile) -> bool:
    """Reads a file of the target back: has it the size and the hash that it must have?"""
    if store.size_bytes(path) != file.size_bytes:
        return False
    digest = hashlib.sha256()
    for block in store.blocks(path):
        digest.update(block)
    return digest.hexdigest() == file.sha256


def checked(file: PushedFile) -> Iterator[bytes]:
    """The blocks of a file; raises behind the last if they are not what the manifest promised."""
    digest = hashlib.sha256()
    for block in file.blocks():
        digest.update(block)
        yield block
    if digest.hexdigest() != file.sha256:
        raise BundleError(f"{file.source!s} was changed during the push; run `dualtower verify`")


def check_arrived(store: Store, file: PushedFile, path: str) -> None:
    """Reads back what was just written.

    Raises:
        UnavailableError: it is something else.
    """
    if not is_same(store, path, file):
        raise UnavailableError(
            f"{path} does not read back as it was written; push again, and check the disk or the "
            "store if it happens twice"
        )


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
