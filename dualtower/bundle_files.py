"""What lies in the folder of a bundle: plain files with their hashes, and what is no part of it.

A bundle is plain files in folders that are not empty, because that is all that an archive, an
object store or a container image is sure to keep.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Contents", "describe_files", "drop_empty_folders", "read_contents", "sha256_of"]

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Contents:
    """The names below a folder, relative, with `/`.

    Attributes:
        files: plain files, and where they are.
        folders: folders, the empty ones included.
        strange: what is neither, and what cannot be read, with the reason.
    """

    files: Mapping[str, Path]
    folders: frozenset[str]
    strange: Mapping[str, str]


def read_contents(folder: Path) -> Contents:
    """Lists everything below `folder`; symbolic links are named and not followed."""
    files: dict[str, Path] = {}
    folders: set[str] = set()
    strange: dict[str, str] = {}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            strange[_name(here, folder)] = f"cannot be read ({error.strerror})"
            continue
        for entry in entries:
            path = here / entry.name
            name = _name(path, folder)
            if entry.is_symlink():
                strange[name] = "is a symbolic link; a bundle holds plain files alone"
            elif entry.is_dir():
                folders.add(name)
                waiting.append(path)
            elif entry.is_file():
                files[name] = path
            else:
                strange[name] = "is no plain file"
    return Contents(dict(sorted(files.items())), frozenset(folders), dict(sorted(strange.items())))


def describe_files(folder: Path, *, besides: str) -> dict[str, dict[str, Any]]:
    """`{relative path: {sha256, size_bytes}}` of every plain file below `folder` but one."""
    return {
        name: {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
        for name, path in read_contents(folder).files.items()
        if name != besides
    }


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def drop_empty_folders(folder: Path) -> None:
    """Removes every folder below `folder` that holds no file, at any depth."""
    for root, _, _ in os.walk(folder, topdown=False):
        if Path(root) != folder and not os.listdir(root):
            os.rmdir(root)


def _name(path: Path, folder: Path) -> str:
    """A name that can be printed, whatever bytes it is made of."""
    raw = os.fsencode(path.relative_to(folder).as_posix())
    return raw.decode("utf-8", "backslashreplace")
