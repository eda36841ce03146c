"""Two ways to write to a target: on this machine's disk, flushed, and by `tf.io.gfile`."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import tensorflow as tf

from dualtower.errors import BundleError, UnavailableError
from dualtower.files import atomic_file, fsync_path, fsync_tree, make_folder
from dualtower_export.push_parts import PushedFile
from dualtower_export.push_target import is_same

__all__ = ["DiskWriter", "UrlWriter", "Writer"]


class Writer(Protocol):
    """What a push does to a target; paths begin with the target."""

    def write(self, file: PushedFile, path: str) -> None:
        """Puts a file there and reads it back."""

    def publish(self, staged: str, folder: str) -> None:
        """Gives a staged folder its name, which is not there yet."""

    def remove(self, folder: str) -> None:
        """Removes a folder, if it is there."""


class DiskWriter:
    """A folder of this machine: each file under a temporary name, flushed, renamed."""

    def write(self, file: PushedFile, path: str) -> None:
        with atomic_file(Path(path)) as temporary, temporary.open("wb") as stream:
            for block in _checked(file):
                stream.write(block)
        _check_arrived(file, path)

    def publish(self, staged: str, folder: str) -> None:
        fsync_tree(Path(staged))
        parent = Path(folder).parent
        make_folder(parent)
        os.rename(staged, folder)
        fsync_path(parent)

    def remove(self, folder: str) -> None:
        if os.path.isdir(folder):
            shutil.rmtree(folder)


class UrlWriter:
    """Any file system of `tf.io.gfile`.

    Args:
        folders: whether it has folders that must be made; an object store has none, and one that is
            made there would be seen by a server as a version without a model.
    """

    def __init__(self, *, folders: bool) -> None:
        self._folders = folders

    def write(self, file: PushedFile, path: str) -> None:
        if self._folders:
            tf.io.gfile.makedirs(path.rpartition("/")[0])
        with tf.io.gfile.GFile(path, "wb") as stream:
            for block in _checked(file):
                stream.write(block)
        _check_arrived(file, path)

    def publish(self, staged: str, folder: str) -> None:
        tf.io.gfile.makedirs(folder.rpartition("/")[0])
        tf.io.gfile.rename(staged, folder)

    def remove(self, folder: str) -> None:
        if tf.io.gfile.isdir(folder):
            tf.io.gfile.rmtree(folder)


def _checked(file: PushedFile) -> Iterator[bytes]:
    """The blocks of a file; raises behind the last if they are not what the manifest promised."""
    digest = hashlib.sha256()
    for block in file.blocks():
        digest.update(block)
        yield block
    if digest.hexdigest() != file.sha256:
        raise BundleError(f"{file.source!s} was changed during the push; run `dualtower verify`")


def _check_arrived(file: PushedFile, path: str) -> None:
    if not is_same(path, file):
        raise UnavailableError(
            f"{path} does not read back as it was written; push again, and check the disk or the "
            "store if it happens twice"
        )
