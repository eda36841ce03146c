"""The file systems of TensorFlow as a place to push to: gs://, and others with tensorflow-io."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import tensorflow as tf

from dualtower.errors import UnavailableError
from dualtower.push_parts import PushedFile
from dualtower.push_store import check_arrived, checked

__all__ = ["UrlStore", "check_scheme", "scheme_of", "target_errors"]

_BLOCK_BYTES = 8 << 20


def scheme_of(target: str) -> str:
    """`gs` of gs://bucket/folder; "" of a folder."""
    scheme, colon, _ = target.partition("://")
    return scheme if colon else ""


def check_scheme(target: str) -> None:
    """Loads tensorflow-io where a scheme needs it.

    Raises:
        UnavailableError: TensorFlow knows no such file system here.
    """
    scheme = scheme_of(target)
    if scheme in _schemes():
        return
    try:
        import_module("tensorflow_io")
    except ImportError as error:
        raise UnavailableError(
            f"{target}: TensorFlow has no file system {scheme}:// here, it has "
            f"{', '.join(sorted(filter(None, _schemes())))}; for others: pip install tensorflow-io"
        ) from error
    if scheme not in _schemes():
        raise UnavailableError(f"{target}: tensorflow-io has no file system {scheme}:// either")


@contextmanager
def target_errors(target: str) -> Iterator[None]:
    """Turns what a file system of TensorFlow says into words that say what to do."""
    try:
        yield
    except tf.errors.OpError as error:
        said = str(error.message).splitlines()[0]
        raise UnavailableError(
            f"{target} cannot be used ({said}); what arrived stays, and the same push goes on from "
            "there. Check the address, your rights and the space, then push again"
        ) from error


class UrlStore:
    """Any file system of `tf.io.gfile`.

    Args:
        folders: whether it has folders that must be made; an object store has none, and one that is
            made there would be seen by a server as a version without a model.
    """

    def __init__(self, *, folders: bool) -> None:
        self._folders = folders

    def is_folder(self, path: str) -> bool:
        return bool(tf.io.gfile.isdir(path))

    def size_bytes(self, path: str) -> int | None:
        if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
            return None
        return int(tf.io.gfile.stat(path).length)

    def blocks(self, path: str) -> Iterator[bytes]:
        with tf.io.gfile.GFile(path, "rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def names(self, folder: str) -> list[str]:
        """Object stores end the names of folders with a slash."""
        return sorted(str(name).rstrip("/") for name in tf.io.gfile.listdir(folder))

    def files_below(self, folder: str) -> Iterator[str]:
        if not tf.io.gfile.isdir(folder):
            return
        for root, _, names in tf.io.gfile.walk(folder):
            inside = str(root).removeprefix(folder).strip("/")
            for name in filter(None, names):
                yield f"{inside}/{name}" if inside else str(name)

    def write(self, file: PushedFile, path: str) -> None:
        if self._folders:
            tf.io.gfile.makedirs(path.rpartition("/")[0])
        with tf.io.gfile.GFile(path, "wb") as stream:
            for block in checked(file):
                stream.write(block)
        check_arrived(self, file, path)

    def publish(self, staged: str, folder: str) -> None:
        tf.io.gfile.makedirs(folder.rpartition("/")[0])
        tf.io.gfile.rename(staged, folder)

    def remove(self, path: str) -> None:
        if tf.io.gfile.isdir(path):
            tf.io.gfile.rmtree(path)
        elif tf.io.gfile.exists(path):
            tf.io.gfile.remove(path)


def _schemes() -> list[str]:
    return [str(scheme) for scheme in tf.io.gfile.get_registered_schemes()]
