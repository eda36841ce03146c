"""A bundle goes where servers poll: a folder, or an object store through `tf.io.gfile`.

    verify ─► push_parts ─► push_target (whose is the version? what is there?) ─► one of two ways

**Where a folder can be renamed** (this machine, HDFS) everything is written to TARGET/.staging
first, then each part gets its name in one step: a server sees a whole version or none.

**Elsewhere**, on an object store, a version folder is there with its first object. A server of the
latest version then tries it, finds no `saved_model.pb`, goes on with the old version and tries
again. Without that file it cannot load a model by halves (without `variables` it would), which is
why it comes last, after all else of all three models. A server of a specific version does not look
before it is told to.

Parts and their `saved_model.pb` appear in `PUSH_ORDER`, the user tower last: at no moment does a
user tower answer whose item tower, recommender and catalogue are not there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from dualtower.bundle import MANIFEST, Bundle
from dualtower.bundle_verify import verify
from dualtower.errors import BundleError, UnavailableError, UsageError
from dualtower.files import exclusive_lock
from dualtower.progress import step, track
from dualtower_export.push_parts import SERVER_CONFIG, Part, parts_of
from dualtower_export.push_target import (
    check_scheme,
    check_version,
    files_below,
    is_same,
    newest_version,
    scheme_of,
    target_errors,
    whole_files,
)
from dualtower_export.push_writers import DiskWriter, UrlWriter, Writer

__all__ = ["OBJECT_STORES", "RENAMING", "Pushed", "push_bundle"]

# where a folder gets its name in one step; "" is a folder of this machine
RENAMING = frozenset({"", "file", "hdfs", "viewfs"})
# no folders to make, and an object appears whole
OBJECT_STORES = frozenset({"gs", "s3", "az", "oss"})
_STAGING = ".staging"
_LOCK = ".push.lock"


@dataclass(frozen=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        target: the folder or URL, without a slash at its end.
        fingerprint, version: the bundle's.
        written, kept: `{path: size_bytes}` of files that were written, and that were there.
        server_config: a `--model_config_file` for this version of the pair at the target.
        newest_version: the highest version that the target has, this one included.
    """

    target: str
    fingerprint: str
    version: int
    written: Mapping[str, int]
    kept: Mapping[str, int]
    server_config: str
    newest_version: int


def push_bundle(
    path: Path, target: str, *, dry_run: bool = False, in_place: bool | None = None
) -> Pushed:
    """Copies a whole bundle to a target, or what is missing of it there.

    Args:
        path: the bundle.
        target: a folder, or a URL such as gs://bucket/models.
        dry_run: only say what would be written.
        in_place: write without staging, as on an object store; None: as the scheme needs it.

    Raises:
        BundleError: the bundle is damaged or none.
        UsageError: the version belongs to another bundle at the target, or the target holds it
            damaged.
        UnavailableError: the target cannot be reached or written.

    Example:
        push_bundle(Path("bundle"), "gs://shop/models").written
    """
    bundle = _whole(Path(path))
    target = _normal(target, bundle)
    check_scheme(target)
    scheme = scheme_of(target)
    in_place = scheme not in RENAMING if in_place is None else in_place
    parts = parts_of(bundle, target)
    staging = f"{target}/{_STAGING}/{parts[0].files[MANIFEST].sha256[:16]}"
    alone = nullcontext() if scheme or dry_run else exclusive_lock(Path(target, _LOCK))
    with target_errors(target), alone:
        check_version(target, parts, bundle.fingerprint, bundle.version)
        with step("what is there"):
            there = {part.place: whole_files(target, part, at_once=not in_place) for part in parts}
            staged = {
                part.place: set() if in_place else _staged(staging, part, there[part.place])
                for part in parts
            }
        written, kept = _sorted_out(target, parts, there, staged)
        if not dry_run:
            by_url = UrlWriter(folders=scheme not in OBJECT_STORES)
            if in_place:
                _push_in_place(by_url, target, parts, there)
            else:
                writer: Writer = by_url if scheme else DiskWriter()
                _push_by_rename(writer, target, staging, parts, there, staged)
                # under the lock of a folder, whatever else was staged is of a push that was killed
                writer.remove(staging if scheme else f"{target}/{_STAGING}")
            _check_names(target, parts)
        newest = newest_version(target)
    return Pushed(
        target=target,
        fingerprint=bundle.fingerprint,
        version=bundle.version,
        written=written,
        kept=kept,
        server_config=f"{target}/{parts[0].place}/{SERVER_CONFIG}",
        newest_version=max(newest, bundle.version),
    )


def _push_in_place(
    writer: Writer, target: str, parts: Sequence[Part], there: Mapping[str, set[str]]
) -> None:
    """The manifest, a claim to the version; all but the last file of each part; those."""
    first = [(part, name) for part in parts for name in part.files if name != part.last]
    last = [(part, part.last) for part in parts if part.last]
    missing = [(part, name) for part, name in [*first, *last] if name not in there[part.place]]
    for part, name in track(missing, "files"):
        writer.write(part.files[name], f"{target}/{part.place}/{name}")


def _push_by_rename(
    writer: Writer,
    target: str,
    staging: str,
    parts: Sequence[Part],
    there: Mapping[str, set[str]],
    staged: Mapping[str, set[str]],
) -> None:
    missing = [part for part in parts if not there[part.place]]
    for part in missing:
        folder = f"{staging}/{part.place}"
        for name in set(files_below(folder)) - set(part.files):
            tf.io.gfile.remove(f"{folder}/{name}")  # of a push that was killed in a file
    files = [(p, n) for p in missing for n in p.files if n not in staged[p.place]]
    for part, name in track(files, "files"):
        writer.write(part.files[name], f"{staging}/{part.place}/{name}")
    for part in missing:
        writer.publish(f"{staging}/{part.place}", f"{target}/{part.place}")


def _whole(path: Path) -> Bundle:
    bundle = Bundle.open(path)
    if problems := verify(path):
        raise BundleError(
            f"{path} is damaged ({problems[0]}) and was not pushed; `dualtower verify {path}` says "
            "what is wrong and how to repair it"
        )
    return bundle


def _normal(target: str, bundle: Bundle) -> str:
    """Absolute where it is a folder, and without slashes at the end."""
    if not target.strip():
        raise UsageError("no target: give a folder, or a URL such as gs://bucket/models")
    if scheme := scheme_of(target):
        place = (
            target.partition("://")[2].strip("/") if scheme != "file" else target[7:].rstrip("/")
        )
        if not place:
            raise UsageError(
                f"{target} names no place; give a URL such as {scheme}://bucket/models"
            )
        return f"{scheme}://{place}"
    folder = Path(os.path.abspath(target))
    if folder.resolve() == bundle.path or bundle.path in folder.resolve().parents:
        raise UsageError(
            f"{target} lies in the bundle, which is never changed; name another folder"
        )
    return str(folder)


def _check_names(target: str, parts: Sequence[Part]) -> None:
    """Each file was read back when it was written; has each its name now?"""
    for part in parts:
        if missing := sorted(set(part.files) - set(files_below(f"{target}/{part.place}"))):
            raise UnavailableError(
                f"{target}/{part.place}/{missing[0]} is gone after it was written; does somebody "
                "else write there? Push again when nobody does"
            )


def _staged(staging: str, part: Part, there: set[str]) -> set[str]:
    """Files that a killed push of this very bundle left, and that are whole."""
    if there:
        return set()
    folder = f"{staging}/{part.place}"
    names = set(files_below(folder)) & set(part.files)
    return {name for name in names if is_same(f"{folder}/{name}", part.files[name])}


def _sorted_out(
    target: str,
    parts: Sequence[Part],
    there: Mapping[str, set[str]],
    staged: Mapping[str, set[str]],
) -> tuple[dict[str, int], dict[str, int]]:
    """Sizes by path: what is to be written, and what is not."""
    written: dict[str, int] = {}
    kept: dict[str, int] = {}
    for part in parts:
        for name, file in part.files.items():
            whole = name in there[part.place] or name in staged[part.place]
            (kept if whole else written)[f"{target}/{part.place}/{name}"] = file.size_bytes
    return written, kept
