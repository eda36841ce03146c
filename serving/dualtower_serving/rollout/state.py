"""What a rollout has brought about so far. Pure: steps make a new state out of the one before.

The journal holds it, because a model server's configuration cannot be read back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dualtower.errors import UsageError

__all__ = ["CANARY", "STABLE", "Passed", "State"]

STABLE = "stable"
CANARY = "canary"


@dataclass(frozen=True)
class Passed:
    """A shadow run whose gates were all passed, of `version` against `against`."""

    version: int
    against: int
    fingerprint: str


@dataclass(frozen=True)
class State:
    """Where the pairs of a target stand.

    Attributes:
        pairs: fingerprints by version, of all that lies at the target.
        pruned: fingerprints by version, of what was removed; a number is never given again.
        loaded: versions that the servers are told to hold.
        labels: versions by label, the same for all models.
        before: what was stable, oldest first; the last is where `rollback` leads.
        servers: their addresses.
        root: where the servers see the target.
        others: the servers' other models, a `model_config_list`; None: nobody has said yet.
        passed: the shadow runs that `promote` may rely on.
    """

    pairs: Mapping[int, str] = field(default_factory=dict)
    pruned: Mapping[int, str] = field(default_factory=dict)
    loaded: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    before: tuple[int, ...] = ()
    servers: tuple[str, ...] = ()
    root: str = ""
    others: str | None = None
    passed: tuple[Passed, ...] = ()

    @property
    def stable(self) -> int | None:
        """The version that answers people; None before the first promotion."""
        return self.labels.get(STABLE)

    @property
    def previous(self) -> int | None:
        """The version that `rollback` leads to."""
        return self.before[-1] if self.before else None

    def has_passed(self, version: int) -> bool:
        """Whether a shadow run of this very version against the stable one was passed."""
        run = Passed(version, self.stable or 0, self.pairs.get(version, ""))
        return run in self.passed

    def labels_of(self, version: int) -> list[str]:
        """The labels that point to a version."""
        return sorted(label for label, points_to in self.labels.items() if points_to == version)

    def with_loaded(self, versions: Sequence[int]) -> State:
        """The same with these versions loaded."""
        return replace(self, loaded=tuple(sorted(set(versions))))

    def with_label(self, label: str, version: int) -> State:
        """The same with a label moved. The canary goes along wherever it was no trial."""
        labels = {**self.labels, label: version}
        before = self.before
        if label == STABLE:
            labels[CANARY] = version
            if self.stable not in (None, version):
                before = (*(one for one in before if one != version), self.stable or 0)
        return replace(self, labels=labels, before=before)

    def rolled_back(self, version: int) -> State:
        """The same with `version` stable again, and under all labels of the version that is left.

        What came after it is no place to go back to, and shadow runs of the version that is left
        no longer count: it was left for a reason.
        """
        left = {self.stable, self.labels.get(CANARY)} - {version, None}
        before = self.before
        if version in before:
            before = before[: before.index(version)]
        labels = {
            label: version if points_to in left else points_to
            for label, points_to in self.labels.items()
        }
        labels |= {STABLE: version, CANARY: version}
        passed = tuple(one for one in self.passed if one.version not in left)
        return replace(self, labels=labels, before=before, passed=passed)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> State:
        """Reads what `as_json` gave; JSON makes strings of integer keys."""
        try:
            return cls(
                pairs={int(version): str(name) for version, name in raw["pairs"].items()},
                pruned={int(version): str(name) for version, name in raw["pruned"].items()},
                loaded=tuple(map(int, raw["loaded"])),
                labels={str(label): int(version) for label, version in raw["labels"].items()},
                before=tuple(map(int, raw["before"])),
                servers=tuple(map(str, raw["servers"])),
                root=str(raw["root"]),
                others=raw["others"],
                passed=tuple(Passed(**one) for one in raw["passed"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"a state in the journal cannot be read ({error!r}); it was written by another "
                "version of dualtower, or by hand: use that version, or begin a journal anew"
            ) from error
