"""What lies at the target of a push already: whose a version is, and what of it is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dualtower.errors import UsageError
from dualtower.push_parts import Part
from dualtower.push_store import Store, is_same
from dualtower.pushed import BUNDLES, PUSH_ORDER

__all__ = ["check_version", "newest_version", "whole_files"]


def check_version(
    store: Store, target: str, parts: Sequence[Part], fingerprint: str, version: int
) -> None:
    """Holds that nobody else has this version number at the target.

    Raises:
        UsageError: another bundle has it, or began to be pushed under it.
    """
    folder = f"{target}/{BUNDLES}"
    owners = store.names(folder) if store.is_folder(folder) else []
    for owner in owners:
        manifest = f"{folder}/{owner}/{version}/bundle.json"
        if store.size_bytes(manifest) is None:
            continue
        ours = owner == fingerprint
        is_this = ours and is_same(store, manifest, parts[0].files["bundle.json"])
        if is_this or (ours and _is_cut(store, manifest)):
            continue
        whose = "another export of the same checkpoint" if ours else f"bundle {owner[:12]}…"
        raise UsageError(
            f"version {version} at {target} is taken by {whose} ({manifest}); a version is never "
            "rewritten: export this one with another number (dualtower export ... --version N)"
        )


def whole_files(store: Store, target: str, part: Part, *, at_once: bool) -> set[str]:
    """The names of a part's files that are there and right.

    Args:
        store: where the target lies.
        target: the folder or URL.
        part: what should be there.
        at_once: whether the folder of a part becomes visible at once, so that one that is there has
            to be whole. Otherwise it has to be whole where its last file is there.

    Raises:
        UsageError: something is there that is no part of the bundle, or differs from it.
    """
    folder = f"{target}/{part.place}"
    there = set(store.files_below(folder))
    repair = f"remove {folder} and push again, or export with another version number"
    if strays := sorted(there - set(part.files)):
        raise UsageError(f"{folder} holds {strays[0]}, which is not in this bundle; {repair}")
    whole = {name for name in there if is_same(store, f"{folder}/{name}", part.files[name])}
    visible = bool(there) if at_once else part.last in there
    if visible and (wrong := sorted(set(part.files) - whole)):
        what = "differs from this bundle" if wrong[0] in there else "is missing"
        raise UsageError(f"{folder}/{wrong[0]} {what}; {repair}")
    return whole


def newest_version(store: Store, target: str) -> int:
    """The highest version of the user tower at the target; 0 without any."""
    folder = f"{target}/{PUSH_ORDER[-1]}"
    names = store.names(folder) if store.is_folder(folder) else []
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _is_cut(store: Store, path: str) -> bool:
    """Whether a killed push left half a manifest, on a file system that shows half a file."""
    try:
        json.loads(b"".join(store.blocks(path)))
    except ValueError:
        return True
    return False
