"""What a server knows of a model's versions, and what should happen to them next. Pure.

    START ──► LOADING ──► AVAILABLE ──► UNLOADING ──► END
                │  ▲
          fails │  │ after a pause, for as many retries as there are
                ▼  │
              (waits) ──► END with an error

A version is unloaded only when a wanted one is AVAILABLE, or none is wanted any more. One that
failed for good is tried again only after it left the wanted ones. `served_models` holds the lock
under which all of this is called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dualtower_clients.proto import management_pb2
from dualtower_serving.embedded.model_config import ModelSettings
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Model", "State", "Version", "VersionState"]

State = management_pb2.ModelVersionStatus

S = TypeVar("S")


@dataclass(frozen=True)
class VersionState:
    """What GetModelStatus says of one version."""

    version: int
    state: int  # of ModelVersionStatus.State
    code: int = Code.OK
    message: str = ""


@dataclass
class Version(Generic[S]):
    """One version, from its discovery to its end."""

    number: int
    path: str
    state: int = State.START
    error: StatusError | None = None
    servable: S | None = None
    leases: int = 0  # calls that hold it
    attempts: int = 0
    queued: bool = False  # handed to the load threads, or loading
    retry_at_ns: int = 0
    gave_up: bool = False  # failed for good since it was last wanted

    @property
    def waits_to_load(self) -> bool:
        return self.state in (State.START, State.LOADING) and not self.queued

    def as_state(self) -> VersionState:
        if self.error is None:
            return VersionState(self.number, self.state)
        return VersionState(self.number, self.state, self.error.code, self.error.message)


@dataclass
class Model(Generic[S]):
    """A model that is, or once was, configured."""

    name: str
    settings: ModelSettings | None = None  # None: no longer configured
    wanted: dict[int, str] = field(default_factory=dict)  # {version: path}, by policy, on disk
    scanned: bool = False  # looked at since it was last configured
    scan_problem: str = ""
    versions: dict[int, Version[S]] = field(default_factory=dict)

    def available(self, number: int | None = None) -> Version[S] | None:
        """This version if it is AVAILABLE; without a number the highest that is."""
        if number is not None:
            one = self.versions.get(number)
            return one if one is not None and one.state == State.AVAILABLE else None
        ready = [one for one in self.versions.values() if one.state == State.AVAILABLE]
        return max(ready, key=lambda one: one.number, default=None)

    def to_load(self, now_ns: int) -> list[Version[S]]:
        """Records newly wanted versions; returns those whose load, or next attempt, is due."""
        due = []
        for number, path in sorted(self.wanted.items(), reverse=True):
            one = self.versions.get(number)
            if one is None or (one.state == State.END and not one.gave_up):
                one = self.versions[number] = Version(number, path)
            if one.waits_to_load and now_ns >= one.retry_at_ns:
                due.append(one)
        return due

    def drop_unwanted(self) -> None:
        """Ends what waits but is not wanted, and marks for unloading what may go."""
        if self.wanted:
            replaced = any(self.available(number) for number in self.wanted)
        else:
            replaced = self.settings is None or self.scanned
        for one in self.versions.values():
            if one.number in self.wanted:
                continue
            one.gave_up = False
            if one.waits_to_load:
                one.state = State.END
            elif one.state == State.AVAILABLE and replaced:
                one.state = State.UNLOADING

    def to_close(self) -> list[Version[S]]:
        """Versions that are unloading and that no call holds."""
        return [
            one
            for one in self.versions.values()
            if one.state == State.UNLOADING and not one.leases and one.servable is not None
        ]

    def settled(self) -> bool:
        """Whether waiting for a first answer is over: one is there, or all have failed."""
        if self.settings is None or any(self.available(number) for number in self.wanted):
            return True
        wanted = [self.versions.get(number) for number in self.wanted]
        return self.scanned and bool(wanted) and all(one and one.gave_up for one in wanted)

    def failures(self) -> list[str]:
        """One text for each version that failed, if none is AVAILABLE."""
        if any(self.available(number) for number in self.wanted):
            return []
        failed = [one for number in self.wanted if (one := self.versions.get(number))]
        return [
            f"{{name: {self.name} version: {one.number}}} due to error: {one.error}"
            for one in failed
            if one.gave_up
        ]

    def why_waiting(self) -> str:
        """What a start that does not go on waits for."""
        if self.settings is None or self.wanted:
            return f"model {self.name}, which is loading"
        return self.scan_problem or f"a first version of {self.name} in {self.settings.base_path}"
