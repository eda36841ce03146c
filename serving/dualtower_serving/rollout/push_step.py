"""`push`: a whole bundle into the target, as `dualtower push` copies it, and into the journal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower_serving.rollout.load_step import declare
from dualtower_serving.rollout.push_command import copy_bundle
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.session import Outcome, Session

__all__ = ["push"]

STEP = "push"


def push(
    session: Session,
    bundle: Bundle,
    *,
    root: str = "",
    others: Path | None = None,
    no_others: bool = False,
) -> Outcome:
    """Copies a bundle; a push that was killed goes on where it stopped.

    The first pair at a target also gives a `models.config`, so that servers can start with it.

    Args:
        session: the step's.
        bundle: opened before the session, so that one which is none leaves no target behind. All
            three models go under its own version: what a bundle says of itself is in its graphs,
            and is never rewritten.
        root, others, no_others: see `load`.

    Raises:
        BundleError: it is damaged.
        UsageError: the version is another bundle's, or was one's that is pruned.
    """
    session.check_unfinished((STEP, "load", "sync", "unload", "prune"))
    state = declare(session.state, session.target, root=root, others=others, no_others=no_others)
    version, fingerprint = bundle.version, bundle.fingerprint
    there = {**state.pairs, **(session.target.whole_pairs() if session.target.is_folder else {})}
    had = {**state.pruned, **there}.get(version, fingerprint)
    if had != fingerprint:
        free = max([*there, *state.pruned]) + 1
        raise UsageError(
            f"version {version} at {session.target.place} is, or was, bundle {had[:12]}…, and this "
            f"is {fingerprint[:12]}…; a version is never given twice. Export it with a free one: "
            f"dualtower export ... --version {free}"
        )
    facts = {"version": version, "fingerprint": fingerprint, "bundle": str(bundle.path)}
    pushed = copy_bundle(bundle.path, session.target, dry_run=session.dry_run)
    facts |= {"written_bytes": pushed.written_bytes, "kept_bytes": pushed.kept_bytes}
    after = replace(
        state,
        pairs=dict(sorted({**state.pairs, version: fingerprint}.items())),
        pruned={one: name for one, name in state.pruned.items() if one != version},
    )
    said = f"version {version} ({fingerprint[:12]}), {pushed.written_bytes / 1e6:.1f} MB"
    if session.dry_run:
        return Outcome(STEP, f"would copy {said}", bool(pushed.written_bytes), after, facts)
    changed = bool(pushed.written_bytes) or after != session.state
    if changed:
        if not state.loaded and not session.target.config.exists():
            write_configs(session.target, after.with_loaded([version]))
        session.journal.done(STEP, after, **facts)
    said = f"copied {said}" if pushed.written_bytes else f"{said.partition(',')[0]} is there whole"
    return Outcome(STEP, said, changed, after, facts)
