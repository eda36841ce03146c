"""`dualtower rollout status`: the journal beside what the servers say now."""

from __future__ import annotations

from typing import Any

from dualtower_serving.rollout.fleet import open_fleet
from dualtower_serving.rollout.session import Session

__all__ = ["overview"]


def overview(session: Session, *, ask_servers: bool = True) -> dict[str, Any]:
    """Where the rollout stands, as JSON takes it; `in_line` is False where a server is not so."""
    state, left = session.state, session.journal.unfinished
    here = session.target.whole_pairs() if session.target.is_folder else {}
    trouble: dict[str, list[str]] = {}
    if ask_servers and state.servers and state.loaded:
        with open_fleet(state.servers, session) as fleet:
            trouble = dict(fleet.unreachable())
            rest = fleet.without(trouble)
            for one in (rest.check_versions(state, state.loaded), rest.check_labels(state)):
                for address, said in one.items():
                    trouble.setdefault(address, []).extend(said)
    versions = sorted({**state.pairs, **here})
    last = session.journal.entries[-1] if session.journal.entries else None
    return {
        "target": session.target.place,
        "journal": str(session.journal.path),
        "pairs": [
            {
                "version": version,
                "fingerprint": state.pairs.get(version) or here[version],
                "on_disk": version in here if session.target.is_folder else None,
                "loaded": version in state.loaded,
                "labels": state.labels_of(version),
                "shadow_passed": state.has_passed(version),
            }
            for version in versions
        ],
        "labels": dict(state.labels),
        "rollback_leads_to": state.previous,
        "servers": list(state.servers),
        "server_root": state.root,
        "trouble": trouble,
        "in_line": not trouble and left is None,
        "unfinished": None if left is None else {**vars(left), "state": None},
        "last": None if last is None else f"{last.step} {last.phase}, {last.at}, {last.by}",
    }
