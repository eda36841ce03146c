"""`shadow`: the stable pair and a loaded one answer the same requests; gates judge the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dualtower.errors import UnavailableError, UsageError
from dualtower_clients import ServerUnreachable
from dualtower_serving.rollout.fleet import open_fleet
from dualtower_serving.rollout.session import Outcome, Session
from dualtower_serving.rollout.shadow.replay import replay
from dualtower_serving.rollout.shadow.report import Limits, Report, judge
from dualtower_serving.rollout.shadow.requests import Request, carried, recorded, sample
from dualtower_serving.rollout.state import Passed, State

__all__ = ["LEAST_REQUESTS", "shadow"]

STEP = "shadow"
LEAST_REQUESTS = 20  # of fewer no quantile says anything


def shadow(
    session: Session,
    *,
    version: int | None = None,
    requests: Path | None = None,
    count: int = 200,
    seed: int = 0,
    server: str | None = None,
    limits: Limits | None = None,
) -> tuple[Outcome, Report | None]:
    """Replays requests against both pairs on one server; the report goes into the journal.

    Args:
        session: the step's.
        version: a loaded one; None: the newest that is loaded and not stable.
        requests: a file of recorded ones; None: those that the stable pair's bundle carries.
        count: how many are asked.
        seed: which of them.
        server: one of the rollout's; None: the first.
        limits: what the new pair has to keep to.

    Raises:
        UsageError: there are not two pairs to compare, or too few requests.
        UnavailableError: the server does not answer.
    """
    session.check_unfinished(())
    state = session.state
    if state.stable is None:
        raise UsageError(
            "nothing is stable yet, so that there is nothing to compare with; the first pair needs "
            f"no shadow run: `dualtower rollout promote {session.target.place}`"
        )
    version = version or _newest(state)
    if version not in state.loaded or version == state.stable:
        what = "is stable itself" if version == state.stable else "is not loaded"
        raise UsageError(
            f"version {version} {what} (loaded: {', '.join(map(str, state.loaded))}); run "
            f"`dualtower rollout load {session.target.place}` first"
        )
    if server is not None and server not in state.servers:
        raise UsageError(f"{server} is none of the servers: {', '.join(state.servers)}")
    if count < LEAST_REQUESTS:
        raise UsageError(f"--count has to be at least {LEAST_REQUESTS}, got {count}")
    address = server or state.servers[0]
    asked = sample(_requests(session, state, requests), count, seed)
    facts = {"version": version, "against": state.stable, "server": address, "seed": seed}
    if session.dry_run:
        said = f"would ask {address} {len(asked)} requests of versions {state.stable}, {version}"
        return Outcome(STEP, said, True, state, facts), None
    pairs = [state.stable, version]
    with open_fleet([address], session) as fleet:
        if trouble := fleet.unreachable() or fleet.check_versions(state, pairs):
            raise UnavailableError(f"{trouble}; `dualtower rollout sync` puts it in line")
    try:
        run = replay(
            address,
            state.stable,
            version,
            asked,
            timeout_s=session.patience.call_s,
            settings=session.settings,
        )
    except ServerUnreachable as error:
        raise UnavailableError(f"the shadow run broke off: {error}") from error
    report = judge(run, limits or Limits())
    said = f"version {version} against {state.stable}: " + (
        f"{len(report.failures)} of {len(report.figures)} gates failed"
        if report.failures
        else "all gates passed"
    )
    passed = Passed(version, state.stable, state.pairs[version])
    others = tuple(one for one in state.passed if one.version != version)
    after = replace(state, passed=others if report.failures else (*others, passed))
    facts["requests_file"] = None if requests is None else str(requests)
    session.journal.done(STEP, after, **facts, report=report.as_json())
    return Outcome(STEP, said, True, after, {**facts, "report": report.as_json()}), report


def _newest(state: State) -> int:
    others = [one for one in state.loaded if one != state.stable]
    if not others:
        raise UsageError(
            f"only version {state.stable} is loaded, which is stable; load the pair to compare it "
            "with by `dualtower rollout load`"
        )
    return others[-1]


def _requests(session: Session, state: State, file: Path | None) -> Sequence[Request]:
    if file is not None:
        return recorded(file)
    found: Sequence[Request] = []
    if session.target.is_folder:
        found = carried(Path(session.target.place, "recommender", str(state.stable)))
    if not found:
        raise UsageError(
            f"version {state.stable} at {session.target.place} carries no requests; give recorded "
            'ones with --requests FILE, a line each: {"history": ["salted butter 250 g"]}'
        )
    return found
