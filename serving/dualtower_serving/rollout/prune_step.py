"""`prune`: removes the files of pairs that nobody needs any more.

What a label leads to, what a server holds and what `rollback` leads to stays, and so do the newest
pairs. Each folder leaves its place in one step, the user tower first: it is the sign that a bundle
is there whole, so that nothing which looks at the folder ever takes half a pair for a whole one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dualtower.errors import UnavailableError, UsageError
from dualtower.files import disk_errors, exclusive_lock, fsync_path, make_folder
from dualtower.pushed import PUSH_LOCK
from dualtower_serving.rollout.fleet import open_fleet
from dualtower_serving.rollout.session import Outcome, Session
from dualtower_serving.rollout.state import State

__all__ = ["prune"]

STEP = "prune"
_TRASH = ".pruned"  # below the target, on the same file system; no server looks there


def prune(session: Session, *, keep: int = 2, versions: Sequence[int] = ()) -> Outcome:
    """Removes old pairs.

    Args:
        session: the step's.
        keep: so many of the newest pairs stay, whatever they are.
        versions: exactly these, in place of what `keep` leaves over.

    Raises:
        UsageError: one of `versions` is in use; the target is no folder of this machine.
        UnavailableError: a server that may hold them cannot be asked.
    """
    session.check_unfinished((STEP, "load", "sync", "unload"))
    target = session.target
    state = session.state
    if not target.is_folder:
        raise UsageError(
            f"{target.place} is no folder of this machine; remove user_tower/N, recommender/N, "
            "item_tower/N and bundles/FINGERPRINT/N there, in this order, with the store's tools"
        )
    pairs = {**state.pairs, **target.whole_pairs()}
    unfinished = session.journal.unfinished
    if unfinished is not None and unfinished.step == STEP and not versions:
        versions = [int(one) for one in unfinished.what["versions"]]
    for version in versions:
        _check_free(state, pairs, version)
    kept = {
        version: why
        for version in pairs
        if (why := _why_kept(state, version)) or version in sorted(pairs, reverse=True)[:keep]
    }
    doomed = sorted(versions) or sorted(set(pairs) - set(kept))
    facts = {
        "versions": doomed,
        "kept": {version: why or "among the newest" for version, why in sorted(kept.items())},
    }
    said = f"{_these(doomed)} at {target.place}"
    if session.dry_run or not doomed:
        said = f"would remove {said}" if doomed else f"nothing to remove at {target.place}"
        return Outcome(STEP, said, bool(doomed), state, facts)
    with open_fleet(state.servers, session) as fleet:
        if trouble := fleet.still_loaded(doomed):
            raise UnavailableError(f"nothing was removed: {trouble}")
    session.journal.begin(STEP, **facts)
    with exclusive_lock(Path(target.place, PUSH_LOCK)):
        for version in doomed:
            _remove(target.folders_of(version, pairs[version]), Path(target.place, _TRASH))
    after = replace(
        state,
        pairs={version: name for version, name in pairs.items() if version not in doomed},
        pruned={**state.pruned, **{version: pairs[version] for version in doomed}},
        before=tuple(one for one in state.before if one not in doomed),
        passed=tuple(one for one in state.passed if one.version not in doomed),
    )
    session.journal.done(STEP, after, **facts)
    return Outcome(STEP, f"removed {said}", True, after, facts)


def _check_free(state: State, pairs: dict[int, str], version: int) -> None:
    if version not in pairs:
        there = ", ".join(map(str, pairs)) or "none"
        raise UsageError(f"there is no version {version} (there: {there})")
    if why := _why_kept(state, version):
        raise UsageError(f"version {version} is not removed: it is {why}")


def _why_kept(state: State, version: int) -> str:
    """Why a version must stay; "" if it need not."""
    if labels := state.labels_of(version):
        return f"what {' and '.join(labels)} leads to"
    if version in state.loaded:
        return f"loaded; `dualtower rollout unload TARGET {version}` lets go of it"
    if version == state.previous:
        return "where rollback leads"
    return ""


def _remove(folders: Sequence[Path], trash: Path) -> None:
    with disk_errors(trash):
        make_folder(trash)
        for folder in folders:
            if folder.exists():
                gone = trash / f"{folder.parent.name}-{folder.name}"
                shutil.rmtree(gone, ignore_errors=True)  # of a prune that was killed
                os.rename(folder, gone)
                fsync_path(folder.parent)
        shutil.rmtree(trash)
        last = folders[-1].parent  # bundles/FINGERPRINT
        if last.is_dir() and not any(last.iterdir()):
            last.rmdir()


def _these(versions: Sequence[int]) -> str:
    return f"version{'s' * (len(versions) > 1)} {', '.join(map(str, versions))}"
