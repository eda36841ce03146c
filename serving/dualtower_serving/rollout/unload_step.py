"""`unload`: servers let go of versions that no label leads to. Their files stay where they are."""

from __future__ import annotations

from collections.abc import Sequence

from dualtower.errors import UnavailableError, UsageError
from dualtower_serving.rollout.fleet import open_fleet
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.session import Outcome, Session
from dualtower_serving.rollout.state import State

__all__ = ["unload"]

STEP = "unload"


def unload(session: Session, versions: Sequence[int], *, also_previous: bool = False) -> Outcome:
    """Takes versions out of the servers' memory, and waits until they are out.

    Args:
        session: the step's.
        versions: loaded ones.
        also_previous: also the one that `rollback` leads to, which then has to load first.

    Raises:
        UsageError: a label leads to one of them, or `rollback` would.
        UnavailableError: a server cannot be reached.
    """
    session.check_unfinished((STEP, "load", "sync", "prune"))
    state = session.state
    for version in versions:
        _check_free(state, version, also_previous=also_previous)
    wanted = state.with_loaded([one for one in state.loaded if one not in versions])
    facts = {"versions": list(versions)}
    said = f"versions {', '.join(map(str, versions))} from {', '.join(state.servers)}"
    if session.dry_run:
        return Outcome(STEP, f"would unload {said}", wanted != state, wanted, facts)
    with open_fleet(state.servers, session) as fleet:
        if trouble := fleet.unreachable():
            raise UnavailableError(
                f"nothing was changed, since not every server answers: {trouble}"
            )
        session.journal.begin(STEP, **facts)
        # the file first: a server that starts again now must not load what is on its way out
        write_configs(session.target, wanted)
        needed = set(wanted.labels.values())
        if trouble := fleet.bring_to(wanted, needed=needed) or fleet.wait_unloaded(versions):
            raise UnavailableError(
                f"not unloaded everywhere: {trouble}; run the same command again, which goes on"
            )
        session.journal.done(STEP, wanted, **facts)
    return Outcome(STEP, f"unloaded {said}", wanted != state, wanted, facts)


def _check_free(state: State, version: int, *, also_previous: bool) -> None:
    if labels := state.labels_of(version):
        raise UsageError(
            f"version {version} answers under {', '.join(labels)}; promote another one first"
        )
    if version not in state.loaded and version not in state.pairs:
        raise UsageError(
            f"there is no version {version} (loaded: {', '.join(map(str, state.loaded)) or 'none'})"
        )
    if version == state.previous and not also_previous:
        raise UsageError(
            f"version {version} is where `dualtower rollout rollback` leads, at once as long as it "
            "is loaded; add --also-previous if a rollback may take as long as a load"
        )
