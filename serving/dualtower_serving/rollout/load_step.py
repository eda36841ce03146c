"""`load`: a pushed pair beside those that answer. No label moves, nobody is asked to leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dualtower.bundle import MODELS
from dualtower.errors import GateFailed, UnavailableError, UsageError
from dualtower.progress import say
from dualtower_serving.rollout.adopt import adopted
from dualtower_serving.rollout.fleet import Fleet, Trouble, open_fleet
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.served_config import read_others, served_config
from dualtower_serving.rollout.session import Outcome, Session
from dualtower_serving.rollout.state import State
from dualtower_serving.rollout.target import Target

__all__ = ["declare", "load", "newest_pushed"]

STEP = "load"


def load(
    session: Session,
    *,
    version: int | None = None,
    servers: Sequence[str] = (),
    root: str = "",
    others: Path | None = None,
    no_others: bool = False,
) -> Outcome:
    """Has every server load a version and waits until all of its models answer on all of them.

    Args:
        session: the step's.
        version: a pushed one; None: the newest.
        servers: addresses, in place of those that the journal knows.
        root: where the servers see the target; "": as the journal has it, else the target itself.
        others: the servers' --model_config_file, of which other models are kept.
        no_others: the servers hold no other models.

    Raises:
        GateFailed: a server could not load it, or it does not answer; it is unloaded again.
        UnavailableError: a server cannot be reached.
        UsageError: something has to be said first.
    """
    session.check_unfinished(("load", "sync", "unload", "prune"))
    target = session.target
    state = declare(session.state, target, servers=servers, root=root, others=others,
                    no_others=no_others)  # fmt: skip
    version = version or newest_pushed(target, state)
    state = _with_pair(state, target, version)
    _check_said(state)
    with open_fleet(state.servers, session) as fleet:
        if dead := fleet.unreachable():
            raise UnavailableError(f"nothing was changed, since not every server answers: {dead}")
        if not state.loaded:
            state = adopted(fleet.replicas[0], target, state)
        wanted = state.with_loaded([*state.loaded, version])
        facts = {"version": version, "fingerprint": wanted.pairs[version]}
        said = f"version {version} ({wanted.pairs[version][:12]}) on {', '.join(state.servers)}"
        changed = session.state != wanted or bool(fleet.check_versions(wanted, wanted.loaded))
        if session.dry_run:
            return Outcome(STEP, f"would load {said}", changed, wanted, facts)
        session.journal.begin(STEP, **facts)
        if trouble := _bring(fleet, wanted, version):
            _take_back(session, fleet, state, trouble, version)
        write_configs(target, wanted)
        session.journal.done(STEP, wanted, **facts)
    if not wanted.labels:
        said += "; no label leads to it yet: `dualtower rollout promote` gives the first"
    return Outcome(STEP, f"loaded {said}" if changed else f"had loaded {said}", changed, wanted,
                   facts)  # fmt: skip


def declare(
    state: State,
    target: Target,
    *,
    servers: Sequence[str] = (),
    root: str = "",
    others: Path | None = None,
    no_others: bool = False,
) -> State:
    """What the operator says of the servers, beside what the journal knows.

    Raises:
        UsageError: it contradicts itself.
    """
    if others is not None and no_others:
        raise UsageError("give --base-config, or --no-other-models, not both")
    if len(set(servers)) < len(servers):
        raise UsageError(f"a server is named twice: {', '.join(servers)}")
    root = root.rstrip("/") or state.root or target.place
    if "://" not in root and not root.startswith("/"):
        raise UsageError(f"--server-root has to be an absolute path or a URL, got {root}")
    if others is not None:
        read = read_others(others)
        state = replace(state, others=read.text)
        if not state.labels:
            state = replace(state, labels=dict(read.labels))
    elif no_others:
        state = replace(state, others="")
    return replace(state, servers=tuple(servers) or state.servers, root=root)


def newest_pushed(target: Target, state: State) -> int:
    """The highest version that lies at the target.

    Raises:
        UsageError: there is none.
    """
    versions = {**state.pairs, **(target.whole_pairs() if target.is_folder else {})}
    if not versions:
        raise UsageError(
            f"{target.place} holds no pair yet; copy one there with "
            f"`dualtower rollout push BUNDLE {target.place}`"
        )
    return max(versions)


def _with_pair(state: State, target: Target, version: int) -> State:
    if target.is_folder:
        return replace(state, pairs={**state.pairs, version: target.fingerprint(version)})
    if version not in state.pairs:
        raise UsageError(
            f"version {version} was not pushed to {target.place} by `dualtower rollout push` "
            f"(pushed: {', '.join(map(str, state.pairs)) or 'none'})"
        )
    return state


def _check_said(state: State) -> None:
    if not state.servers:
        raise UsageError("no server is known yet; name each with --server HOST:PORT")
    if state.others is None:
        raise UsageError(
            "a reload replaces a server's whole configuration, which cannot be read back: say once "
            "what else the servers hold, with --base-config FILE (their --model_config_file) or "
            "with --no-other-models"
        )


def _bring(fleet: Fleet, wanted: State, version: int) -> Trouble:
    say(f"▸ loading version {version} of {', '.join(MODELS)}")
    return (
        fleet.bring_to(wanted, needed=wanted.loaded)
        or fleet.check_versions(wanted, wanted.loaded)
        or fleet.probe(version, wanted.pairs[version])
        or fleet.check_labels(wanted)
    )


def _take_back(
    session: Session, fleet: Fleet, state: State, trouble: Trouble, version: int
) -> None:
    """Takes a version that failed out of all servers again, so that they do not go on trying."""
    if gone := fleet.unreachable():
        raise UnavailableError(
            f"version {version} is not loaded everywhere: {trouble | gone}; no label has moved. "
            "Run the same command again when they answer, which goes on from here"
        )
    if version not in state.loaded:
        for replica in fleet.replicas:
            replica.reload(served_config(state), timeout_s=session.patience.call_s)
    session.journal.failed(STEP, version=version, reasons=dict(trouble))
    raise GateFailed(
        f"version {version} was not loaded, no label has moved, and what answered before answers "
        f"now: {trouble}"
    )
