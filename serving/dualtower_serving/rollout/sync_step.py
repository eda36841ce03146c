"""`sync`: servers that started anew, or are new, hold what the journal says again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dualtower.errors import UnavailableError, UsageError
from dualtower_serving.rollout.fleet import open_fleet
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.session import Outcome, Session

__all__ = ["sync"]

STEP = "sync"


def sync(session: Session, *, servers: Sequence[str] = ()) -> Outcome:
    """Gives every server the versions and labels of the journal.

    Args:
        session: the step's.
        servers: all servers of the rollout from now on; none: those that the journal knows.

    Raises:
        UsageError: the journal knows of nothing that was loaded.
        UnavailableError: a server cannot be reached, or does not get there.
    """
    session.check_unfinished((STEP,))
    state = session.state
    if not state.loaded:
        raise UsageError(
            f"the journal of {session.target.place} knows of nothing that was loaded; begin with "
            f"`dualtower rollout load {session.target.place}`"
        )
    wanted = replace(state, servers=tuple(servers) or state.servers)
    facts = {"servers": list(wanted.servers)}
    where = ", ".join(wanted.servers)
    with open_fleet(wanted.servers, session) as fleet:
        if trouble := fleet.unreachable():
            raise UnavailableError(
                f"nothing was changed, since not every server answers: {trouble}"
            )
        off = fleet.check_versions(wanted, wanted.loaded) or fleet.check_labels(wanted)
        if session.dry_run:
            said = f"would bring {', '.join(off)} in line: {off}" if off else f"{where}: in line"
            return Outcome(STEP, said, bool(off), wanted, facts)
        session.journal.begin(STEP, **facts)
        if trouble := (
            fleet.bring_to(wanted, needed=wanted.loaded)
            or fleet.check_versions(wanted, wanted.loaded)
            or fleet.check_labels(wanted)
        ):
            raise UnavailableError(f"not every server is in line: {trouble}; run it again")
        write_configs(session.target, wanted)
        session.journal.done(STEP, wanted, **facts)
    said = f"{where}: in line" + " again" * bool(off)
    return Outcome(STEP, said, bool(off) or wanted != state, wanted, facts)
