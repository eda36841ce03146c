"""`rollback`: the pair that was stable before is stable again, under every label of the one left.

It needs only the version that it leads to: the one it leaves may have died. A server that cannot be
reached holds up no other; it comes back with the file that is written here, or by `sync`.
"""

from __future__ import annotations

from dualtower.errors import GateFailed, UnavailableError, UsageError
from dualtower_serving.rollout.fleet import open_fleet
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.session import Outcome, Session
from dualtower_serving.rollout.state import CANARY, STABLE, State

__all__ = ["rollback"]

STEP = "rollback"


def rollback(session: Session, *, to: int | None = None) -> Outcome:
    """Goes back one pair, or to a named one; run again, it goes back no further.

    Args:
        session: the step's.
        to: a pair that lies at the target, loaded or not; None: the one before.

    Raises:
        GateFailed: done, but for servers that do not answer.
        UnavailableError: no server answers, or one of them cannot do it.
        UsageError: there is no pair to go back to.
    """
    session.check_unfinished((STEP, "load", "promote", "sync", "unload"))
    state = session.state
    version = to or _aim(session, state)
    if version not in state.pairs:
        known = ", ".join(map(str, state.pairs)) or "none"
        raise UsageError(f"version {version} is no pair of {session.target.place} (there: {known})")
    wanted = state.rolled_back(version).with_loaded([*state.loaded, version])
    facts = {"version": version, "left": state.stable}
    pair = f"version {version} ({state.pairs[version][:12]})"
    said = f"{pair} is stable again"
    with open_fleet(state.servers, session) as everyone:
        gone = everyone.unreachable()
        fleet = everyone.without(gone)
        if not fleet.replicas:
            raise UnavailableError(f"nothing was changed, since no server answers: {gone}")
        changed = wanted.labels != state.labels or bool(fleet.check_labels(wanted))
        if session.dry_run:
            said = f"would make {pair} stable again" if changed else f"{pair} is stable already"
            return Outcome(STEP, said, changed, wanted, facts)
        if changed or session.journal.unfinished:
            session.journal.begin(STEP, **facts)
            if trouble := fleet.bring_to(wanted, needed=[version]) or fleet.check_labels(wanted):
                raise UnavailableError(
                    f"not every server went back: {trouble}; run the same command again, which "
                    f"goes on from here, or go to another pair with --to VERSION"
                )
            write_configs(session.target, wanted)
            session.journal.done(STEP, wanted, **facts, unreachable=sorted(gone))
    if gone:
        raise GateFailed(
            f"{said}, but for servers that do not answer: {gone}. They come back right from "
            f"{session.target.config}, or by `dualtower rollout sync {session.target.place}`"
        )
    return Outcome(STEP, said if changed else f"{pair} is stable already", changed, wanted, facts)


def _aim(session: Session, state: State) -> int:
    """What is undone: a promotion that was killed, a canary on trial, or the last promotion."""
    left = session.journal.unfinished
    if left is not None and left.step == STEP:
        return int(left.what["version"])
    if state.stable is None:
        raise UsageError("nothing is stable yet, so that there is nothing to go back from")
    begun = left is not None and left.step == "promote"
    if begun or state.labels.get(CANARY) != state.stable or _last_was_rollback(session):
        return state.stable
    if state.previous is None:
        raise UsageError(
            f"version {state.stable} is the first that was stable here; to go to another one name "
            "it with --to VERSION"
        )
    return state.previous


def _last_was_rollback(session: Session) -> bool:
    """Whether the last move of labels was one back: asked for again, it has been done."""
    moves = [
        one.step
        for one in session.journal.entries
        if one.phase == "done" and (one.step == STEP or one.what.get("label") in (STABLE, CANARY))
    ]
    return bool(moves) and moves[-1] == STEP
