"""`promote`: a label of all models moves to a version that is loaded, on all servers."""

from __future__ import annotations

import re

from dualtower.errors import GateFailed, UnavailableError, UsageError
from dualtower_serving.rollout.fleet import Fleet, Trouble, open_fleet
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.session import Outcome, Session
from dualtower_serving.rollout.state import STABLE, State

__all__ = ["promote"]

STEP = "promote"
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")


def promote(
    session: Session,
    *,
    version: int | None = None,
    label: str = STABLE,
    skip_shadow: str | None = None,
    undo_on_failure: bool = False,
) -> Outcome:
    """Moves a label. Where a server fails on the way, the same command goes on from there.

    Args:
        session: the step's.
        version: a loaded one; None: the one that is not stable yet.
        label: which. `canary` follows `stable`.
        skip_shadow: why no shadow run is needed; goes into the journal.
        undo_on_failure: put the label back on all servers where one fails.

    Raises:
        GateFailed: no shadow run of this pair was passed, or a server failed and all was undone.
        UnavailableError: a server cannot be reached, or failed on the way.
        UsageError: there is no such version, or nothing to choose from.
    """
    session.check_unfinished((STEP, "sync"))
    state = session.state
    if not _LABEL.fullmatch(label):
        raise UsageError(f"a label is letters, digits, - and _, got {label!r}")
    if skip_shadow is not None and not skip_shadow.strip():
        raise UsageError("--skip-shadow wants the reason, which goes into the journal")
    version = version or _only_candidate(session, state)
    _check_begun(session, version, label)
    if version not in state.loaded:
        loaded = ", ".join(map(str, state.loaded)) or "none"
        raise UsageError(
            f"version {version} is not loaded (loaded: {loaded}); run "
            f"`dualtower rollout load {session.target.place} --version {version}` first"
        )
    wanted = state.with_label(label, version)
    facts = {"version": version, "label": label, "skip_shadow": skip_shadow}
    said = f"{label} leads to version {version} ({state.pairs[version][:12]})"
    needed = set(wanted.labels.values())
    _check_shadow(session, state, version, label, skip_shadow)
    with open_fleet(state.servers, session) as fleet:
        if trouble := fleet.unreachable() or fleet.check_versions(wanted, needed):
            raise UnavailableError(
                f"no label has moved, since not every server has what it takes: {trouble}"
            )
        changed = wanted != state or bool(fleet.check_labels(wanted))
        if session.dry_run or not (changed or session.journal.unfinished):
            said = f"would see to it that {said}" if changed else f"{said} already"
            return Outcome(STEP, said, changed, wanted, facts)
        session.journal.begin(STEP, **facts)
        if trouble := fleet.bring_to(wanted, needed=needed) or fleet.check_labels(wanted):
            _stop(session, fleet, trouble, wanted, undo=undo_on_failure)
        write_configs(session.target, wanted)
        # a server that polls the file may just have read the one before
        if trouble := fleet.check_labels(wanted) and (
            fleet.bring_to(wanted, needed=needed) or fleet.check_labels(wanted)
        ):
            raise UnavailableError(f"{trouble}; somebody else reloads these servers' configuration")
        session.journal.done(STEP, wanted, **facts)
    return Outcome(STEP, said, changed, wanted, facts)


def _only_candidate(session: Session, state: State) -> int:
    left = session.journal.unfinished
    if left is not None and "version" in left.what:
        return int(left.what["version"])
    newer = [one for one in state.loaded if one > (state.stable or 0)]
    if len(newer) == 1:
        return newer[0]
    if not state.loaded:
        raise UsageError(
            f"no version is loaded; run `dualtower rollout load {session.target.place}` first"
        )
    if not newer and state.stable == state.loaded[-1]:
        return state.stable  # nothing is newer: whatever is wrong with its labels is put right
    raise UsageError(
        f"which version? loaded are {', '.join(map(str, state.loaded))}, stable is {state.stable}; "
        "give one with --version"
    )


def _check_begun(session: Session, version: int, label: str) -> None:
    """What was begun is gone on with, or undone; it excuses nothing else."""
    left = session.journal.unfinished
    if left is None or left.step != STEP:
        return
    begun = left.what["version"], left.what["label"]
    if begun != (version, label):
        raise UsageError(
            f"promote of version {begun[0]} to {begun[1]} was begun at {left.at} by {left.by} and "
            f"not finished; go on with `dualtower rollout promote {session.target.place} --version "
            f"{begun[0]} --label {begun[1]}`, or undo it with `dualtower rollout rollback`"
        )


def _check_shadow(
    session: Session, state: State, version: int, label: str, skip_shadow: str | None
) -> None:
    """A pair goes live only when it was held against the one that is live."""
    if label != STABLE or state.stable in (None, version) or skip_shadow is not None:
        return
    left = session.journal.unfinished
    if left is not None and left.step == STEP:
        return  # it was checked, or excused, when this very promotion was begun
    if not state.has_passed(version):
        raise GateFailed(
            f"version {version} has passed no shadow run against version {state.stable}, which "
            "is stable; run "
            f"`dualtower rollout shadow {session.target.place} --version {version}`, or say why "
            "none is needed with --skip-shadow REASON"
        )


def _stop(session: Session, fleet: Fleet, trouble: Trouble, wanted: State, *, undo: bool) -> None:
    before = session.state
    moved = sorted({one.address for one in fleet.replicas} - set(trouble))
    if undo:
        left = fleet.bring_to(before, needed=set(before.labels.values()))
        if not left:
            session.journal.failed(STEP, reasons=dict(trouble))
            raise GateFailed(f"no label has moved in the end, all was put back: {trouble}")
        trouble = Trouble(trouble | left)
    raise UnavailableError(
        f"not all servers have moved their labels: {trouble}; moved: {', '.join(moved) or 'none'}. "
        "Run the same command again, which goes on from here, or `dualtower rollout rollback`, "
        "which puts all of them back"
    )
