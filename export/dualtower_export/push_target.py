"""What lies at the target of a push already, read through TensorFlow's file systems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

import tensorflow as tf

from dualtower.errors import UnavailableError, UsageError
from dualtower.pushed import BUNDLES, PUSH_ORDER
from dualtower_export.push_parts import Part, PushedFile

__all__ = [
    "check_scheme",
    "check_version",
    "files_below",
    "is_same",
    "newest_version",
    "scheme_of",
    "target_errors",
    "whole_files",
]

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


def check_version(target: str, parts: Sequence[Part], fingerprint: str, version: int) -> None:
    """Holds that nobody else has this version number at the target.

    Raises:
        UsageError: another bundle has it, or began to be pushed under it.
    """
    folder = f"{target}/{BUNDLES}"
    owners = _names(folder) if tf.io.gfile.isdir(folder) else []
    for owner in owners:
        manifest = f"{folder}/{owner}/{version}/bundle.json"
        if not tf.io.gfile.exists(manifest):
            continue
        ours = owner == fingerprint
        if ours and (is_same(manifest, parts[0].files["bundle.json"]) or _is_cut(manifest)):
            continue
        whose = "another export of the same checkpoint" if ours else f"bundle {owner[:12]}…"
        raise UsageError(
            f"version {version} at {target} is taken by {whose} ({manifest}); a version is never "
            "rewritten: export this one with another number (dualtower export ... --version N)"
        )


def whole_files(target: str, part: Part, *, at_once: bool) -> set[str]:
    """The names of a part's files that are there and right.

    Args:
        target: the folder or URL.
        part: what should be there.
        at_once: whether the folder of a part becomes visible at once, so that one that is there has
            to be whole. Otherwise it has to be whole where its last file is there.

    Raises:
        UsageError: something is there that is no part of the bundle, or differs from it.
    """
    folder = f"{target}/{part.place}"
    there = set(files_below(folder))
    repair = f"remove {folder} and push again, or export with another version number"
    if strays := sorted(there - set(part.files)):
        raise UsageError(f"{folder} holds {strays[0]}, which is not in this bundle; {repair}")
    whole = {name for name in there if is_same(f"{folder}/{name}", part.files[name])}
    visible = bool(there) if at_once else part.last in there
    if visible and (wrong := sorted(set(part.files) - whole)):
        what = "differs from this bundle" if wrong[0] in there else "is missing"
        raise UsageError(f"{folder}/{wrong[0]} {what}; {repair}")
    return whole


def is_same(path: str, file: PushedFile) -> bool:
    """Reads a file of the target back: has it the size and the hash that it must have?"""
    if not tf.io.gfile.exists(path) or tf.io.gfile.stat(path).length != file.size_bytes:
        return False
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest() == file.sha256


def _is_cut(path: str) -> bool:
    """Whether a killed push left half a manifest, on a file system that shows half a file."""
    with tf.io.gfile.GFile(path, "rb") as stream:
        content = stream.read()
    try:
        json.loads(content)
    except ValueError:
        return True
    return False


def newest_version(target: str) -> int:
    """The highest version of the user tower at the target; 0 without any."""
    folder = f"{target}/{PUSH_ORDER[-1]}"
    names = _names(folder) if tf.io.gfile.isdir(folder) else []
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _schemes() -> list[str]:
    return [str(scheme) for scheme in tf.io.gfile.get_registered_schemes()]


def _names(folder: str) -> list[str]:
    """Object stores end the names of folders with a slash."""
    return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))


def files_below(folder: str) -> Iterator[str]:
    """Names of all files below a folder or URL, relative to it."""
    if not tf.io.gfile.isdir(folder):
        return
    for root, _, names in tf.io.gfile.walk(folder):
        inside = str(root).removeprefix(folder).strip("/")
        for name in filter(None, names):
            yield f"{inside}/{name}" if inside else str(name)
