"""A bundle goes where servers poll: a folder, or any other store that is given.

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
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from dualtower.bundle import MANIFEST, Bundle
from dualtower.bundle_verify import verify
from dualtower.errors import BundleError, UnavailableError, UsageError
from dualtower.files import exclusive_lock
from dualtower.progress import step, track
from dualtower.push_parts import SERVER_CONFIG, Part, parts_of
from dualtower.push_store import Folder, Store, folder_errors, is_same
from dualtower.push_target import check_version, newest_version, whole_files
from dualtower.pushed import PUSH_LOCK

__all__ = ["Pushed", "push_to_folder", "push_to_store", "whole_bundle"]

_STAGING = ".staging"


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


def push_to_folder(path: Path, target: str, *, dry_run: bool = False) -> Pushed:
    """Copies a whole bundle to a folder of this machine, or what is missing of it there.

    Raises:
        BundleError: the bundle is damaged or none.
        UsageError: the version belongs to another bundle at the target, or the target holds it
            damaged, or somebody else is pushing there.
        UnavailableError: the target cannot be written.
    """
    bundle = whole_bundle(path)
    place = _place(target, bundle)
    alone = nullcontext() if dry_run else exclusive_lock(Path(place, PUSH_LOCK))
    return push_to_store(
        Folder(), bundle, place, dry_run=dry_run, guard=folder_errors(place), alone=alone
    )


def push_to_store(
    store: Store,
    bundle: Bundle,
    target: str,
    *,
    dry_run: bool,
    in_place: bool = False,
    guard: AbstractContextManager[None] | None = None,
    alone: AbstractContextManager[None] | None = None,
) -> Pushed:
    """Copies a whole bundle to a store, or what is missing of it there.

    Args:
        store: where the target lies.
        bundle: a whole one.
        target: a folder or URL, without a slash at its end.
        dry_run: only say what would be written.
        in_place: write without staging, as on an object store.
        guard: turns the store's own errors into ones that say what to do.
        alone: holds the target against a second push. Under it whatever is staged is of a push
            that was killed.
    """
    parts = parts_of(bundle, target)
    staging = f"{target}/{_STAGING}/{parts[0].files[MANIFEST].sha256[:16]}"
    with guard or nullcontext(), alone or nullcontext():
        check_version(store, target, parts, bundle.fingerprint, bundle.version)
        with step("what is there"):
            there = {
                part.place: whole_files(store, target, part, at_once=not in_place) for part in parts
            }
            staged = {
                part.place: set() if in_place else _staged(store, staging, part, there[part.place])
                for part in parts
            }
        written, kept = _sorted_out(target, parts, there, staged)
        if not dry_run:
            if in_place:
                _push_in_place(store, target, parts, there)
            else:
                _push_by_rename(store, target, staging, parts, there, staged)
                store.remove(staging if alone is None else f"{target}/{_STAGING}")
            _check_names(store, target, parts)
        newest = newest_version(store, target)
    return Pushed(
        target=target,
        fingerprint=bundle.fingerprint,
        version=bundle.version,
        written=written,
        kept=kept,
        server_config=f"{target}/{parts[0].place}/{SERVER_CONFIG}",
        newest_version=max(newest, bundle.version),
    )


def whole_bundle(path: Path) -> Bundle:
    """A bundle of which every byte is as it was written.

    Raises:
        BundleError: it is damaged, or none.
    """
    bundle = Bundle.open(path)
    if problems := verify(path):
        raise BundleError(
            f"{path} is damaged ({problems[0]}) and was not pushed; `dualtower verify {path}` says "
            "what is wrong and how to repair it"
        )
    return bundle


def _push_in_place(
    store: Store, target: str, parts: Sequence[Part], there: Mapping[str, set[str]]
) -> None:
    """The manifest, a claim to the version; all but the last file of each part; those."""
    first = [(part, name) for part in parts for name in part.files if name != part.last]
    last = [(part, part.last) for part in parts if part.last]
    missing = [(part, name) for part, name in [*first, *last] if name not in there[part.place]]
    for part, name in track(missing, "files"):
        store.write(part.files[name], f"{target}/{part.place}/{name}")


def _push_by_rename(
    store: Store,
    target: str,
    staging: str,
    parts: Sequence[Part],
    there: Mapping[str, set[str]],
    staged: Mapping[str, set[str]],
) -> None:
    missing = [part for part in parts if not there[part.place]]
    for part in missing:
        folder = f"{staging}/{part.place}"
        for name in set(store.files_below(folder)) - set(part.files):
            store.remove(f"{folder}/{name}")  # of a push that was killed in a file
    files = [(p, n) for p in missing for n in p.files if n not in staged[p.place]]
    for part, name in track(files, "files"):
        store.write(part.files[name], f"{staging}/{part.place}/{name}")
    for part in missing:
        store.publish(f"{staging}/{part.place}", f"{target}/{part.place}")


def _place(target: str, bundle: Bundle) -> str:
    """The absolute path of a folder to push to."""
    if not target.strip():
        raise UsageError("no target: give a folder, or a URL such as gs://bucket/models")
    folder = Path(os.path.abspath(target))
    if folder.resolve() == bundle.path or bundle.path in folder.resolve().parents:
        raise UsageError(
            f"{target} lies in the bundle, which is never changed; name another folder"
        )
    return str(folder)


def _check_names(store: Store, target: str, parts: Sequence[Part]) -> None:
    """Each file was read back when it was written; has each its name now?"""
    for part in parts:
        if missing := sorted(set(part.files) - set(store.files_below(f"{target}/{part.place}"))):
            raise UnavailableError(
                f"{target}/{part.place}/{missing[0]} is gone after it was written; does somebody "
                "else write there? Push again when nobody does"
            )


def _staged(store: Store, staging: str, part: Part, there: set[str]) -> set[str]:
    """Files that a killed push of this very bundle left, and that are whole."""
    if there:
        return set()
    folder = f"{staging}/{part.place}"
    names = set(store.files_below(folder)) & set(part.files)
    return {name for name in names if is_same(store, f"{folder}/{name}", part.files[name])}


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
