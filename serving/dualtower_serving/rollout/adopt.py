"""The first `load` at a target: what the servers hold already becomes part of the rollout."""

from __future__ import annotations

from dataclasses import replace

from dualtower.errors import BundleMismatch, UsageError
from dualtower.progress import say
from dualtower_serving.rollout.replica import Replica
from dualtower_serving.rollout.state import CANARY, STABLE, State
from dualtower_serving.rollout.target import Target

__all__ = ["adopted"]


def adopted(replica: Replica, target: Target, state: State) -> State:
    """The state with the versions and labels that a server has.

    A server whose pair has no label gets `stable` and `canary` on it, before anything new is
    loaded: otherwise nobody could tell the old pair from the new one.

    Raises:
        BundleMismatch: the models of a version that is served are of different bundles.
        UsageError: the served pair does not lie at the target, so that it could not stay loaded.
    """
    versions = sorted(replica.whole_versions())
    pairs = dict(state.pairs)
    for version in versions:
        said = replica.fingerprints(version)
        (first, *others) = said.values()
        for other in others:
            if other != first:
                raise BundleMismatch(
                    expected=first, found=other, where=f"{replica.address}, version {version}",
                    repair="serve all models from one bundle before a rollout begins",
                )  # fmt: skip
        _check_stays(target, version, first, replica.address)
        pairs[version] = first
    labels = {label: version for label, version in state.labels.items() if version in versions}
    for label in (STABLE, CANARY, *state.labels):
        found = replica.label(label)
        led_to = {one.version for one in found.values() if one is not None and not one.is_dead}
        if len(led_to) > 1 or (led_to and None in found.values()):
            raise UsageError(
                f"{label} at {replica.address} leads to "
                f"{', '.join(f'{model} {one and one.version}' for model, one in found.items())}: a "
                "mixed pair; give all models' labels one version before a rollout begins"
            )
        if (version := max(led_to, default=0)) in versions:
            labels[label] = version
    if versions and STABLE not in labels:
        labels |= {STABLE: versions[-1], CANARY: labels.get(CANARY, versions[-1])}
        say(
            f"▸ {replica.address} has no label {STABLE!r}: version {versions[-1]}, which answers "
            "now, gets it. Clients that ask without a label get the highest version that is "
            "loaded, of each model for itself; let them ask for a label"
        )
    if STABLE in labels:
        labels.setdefault(CANARY, labels[STABLE])
    return replace(state.with_loaded(versions), pairs=pairs, labels=labels)


def _check_stays(target: Target, version: int, fingerprint: str, address: str) -> None:
    if not target.is_folder:
        return
    here = target.whole_pairs().get(version)
    if here != fingerprint:
        what = f"version {version} of bundle {here[:12]}…" if here else f"no version {version}"
        raise UsageError(
            f"{address} serves version {version} of bundle {fingerprint[:12]}…, and {target.place} "
            f"holds {what}: a reload would unload what answers now. Push that bundle there first "
            f"(`dualtower rollout push BUNDLE {target.place}`)"
        )
