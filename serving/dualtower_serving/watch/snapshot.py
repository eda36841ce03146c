"""What a server says about its models right now, and what is wrong with it.

versions and states ─► fingerprints ─► under each label, and under none: is it one pair?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dualtower.bundle import MODELS
from dualtower_clients import VersionStatus
from dualtower_serving.rollout.replica import Labelled, Replica

__all__ = ["Snapshot", "Way", "judge", "take"]


@dataclass(frozen=True)
class Way:
    """What the models of the pair answer to someone who asks with a label, or with none.

    Attributes:
        label: None for no label, which means each model's highest version.
        answers: by model; None where the model has nothing under it.
        why_not: why this is no pair; "" if it is one.
    """

    label: str | None
    answers: Mapping[str, Labelled | None]
    why_not: str

    @property
    def name(self) -> str:
        return self.label or "(no label)"


@dataclass(frozen=True)
class Snapshot:
    """A server at a moment.

    Attributes:
        address: of the server.
        states: by model, all versions that it knows of.
        fingerprints: by model and version, of those that answer.
        ways: without a label, and with each label that any model knows.
        problems: what an operator has to look at; none is good.
    """

    address: str
    states: Mapping[str, Sequence[VersionStatus]]
    fingerprints: Mapping[str, Mapping[int, str]]
    ways: Sequence[Way]
    problems: Sequence[str]


def take(replica: Replica, labels: Sequence[str]) -> Snapshot:
    """Asks a server.

    Args:
        replica: the server.
        labels: those to ask for; a server cannot list them.

    Raises:
        ClientError: it does not answer.
    """
    states = {
        model: sorted(replica.statuses(model).values(), key=lambda one: one.version)
        for model in MODELS
    }
    fingerprints = {
        model: {
            one.version: replica.fingerprint_of(model, one.version)
            for one in found
            if one.state == "AVAILABLE"
        }
        for model, found in states.items()
    }
    latest = {
        model: Labelled(max(found), found[max(found)]) if found else None
        for model, found in fingerprints.items()
    }
    ways = [judge(None, latest)]
    for label in dict.fromkeys(labels):
        answers = replica.label(label)
        if any(one is not None for one in answers.values()):
            ways.append(judge(label, answers))
    return Snapshot(
        replica.address, states, fingerprints, ways, [*_problems(states, fingerprints, ways)]
    )


def judge(label: str | None, answers: Mapping[str, Labelled | None]) -> Way:
    """Whether the answers of the models are those of one pair. Pure."""
    missing = [model for model, one in answers.items() if one is None]
    dead = [f"{model} {one.version}" for model, one in answers.items() if one and one.is_dead]
    there = [one for one in answers.values() if one is not None]
    why = ""
    if missing:
        why = f"{', '.join(missing)} {'have' if len(missing) > 1 else 'has'} nothing under it"
    elif dead:
        why = f"it leads to what is not loaded: {', '.join(dead)}"
    elif len({one.fingerprint for one in there}) > 1:
        why = "of different bundles"
    elif label is not None and len({one.version for one in there}) > 1:
        why = "of different versions"
    return Way(label, answers, why)


def _problems(
    states: Mapping[str, Sequence[VersionStatus]],
    fingerprints: Mapping[str, Mapping[int, str]],
    ways: Sequence[Way],
) -> Iterator[str]:
    for model, found in fingerprints.items():
        if not found:
            seen = ", ".join(f"{one.version} {one.state}" for one in states[model]) or "none at all"
            yield f"{model} has no AVAILABLE version ({seen})"
    for way in ways:
        if way.why_not and (way.label is not None or all(fingerprints.values())):
            said = ", ".join(
                f"{model} {'none' if one is None else _short(one)}"
                for model, one in way.answers.items()
            )
            yield f"{way.name}: {way.why_not} ({said})"


def _short(one: Labelled) -> str:
    return f"{one.version} of {one.fingerprint[:12]}" if one.fingerprint else str(one.version)
