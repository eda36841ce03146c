"""What every step works with: the target, its journal, the patience of the operator."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_clients.settings import DEFAULT_SETTINGS, ChannelSettings
from dualtower_serving.rollout.journal import Journal
from dualtower_serving.rollout.lock import held_alone
from dualtower_serving.rollout.state import State
from dualtower_serving.rollout.target import Target

__all__ = ["Outcome", "Patience", "Session", "opened"]


@dataclass(frozen=True)
class Patience:
    """How long is waited.

    Attributes:
        load_s: for a version to load and warm up.
        call_s: for the answer to one call.
    """

    load_s: float = 600.0
    call_s: float = 30.0


@dataclass(frozen=True)
class Session:
    """One step at work. Where it is no dry run, it holds the lock of the target."""

    target: Target
    journal: Journal
    patience: Patience
    dry_run: bool
    settings: ChannelSettings = DEFAULT_SETTINGS  # of the connections to servers

    @property
    def state(self) -> State:
        return self.journal.state

    def check_unfinished(self, allowed: Collection[str]) -> None:
        """Refuses to begin where another step was killed in the middle.

        Raises:
            UsageError: it has to be finished, or undone, first.
        """
        left = self.journal.unfinished
        if left is None or left.step in allowed:
            return
        said = left.what
        version = f" of version {said['version']}" if "version" in said else ""
        label = f" --label {said['label']}" if "label" in said else ""
        undo = ", or undo it with `dualtower rollout rollback`" * (left.step == "promote")
        raise UsageError(
            f"{left.step}{version} was begun at {left.at} by {left.by} and not finished; run "
            f"`dualtower rollout {left.step} {self.target.place}{label}` again, which goes on "
            f"where it stopped{undo}"
        )


@dataclass(frozen=True)
class Outcome:
    """What a step did, or would do.

    Attributes:
        step: its name.
        said: one line for people.
        changed: whether there was anything to do.
        state: after it.
        facts: what else there is to tell, for JSON.
    """

    step: str
    said: str
    changed: bool
    state: State
    facts: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def opened(
    target: Target,
    step: str,
    *,
    patience: Patience | None = None,
    settings: ChannelSettings = DEFAULT_SETTINGS,
    dry_run: bool = False,
) -> Iterator[Session]:
    """A session for a step; alone, unless it changes nothing.

    Raises:
        UsageError: the target is not there, somebody else is at work, or the journal is broken.
    """
    if step != "push" and target.is_folder and not Path(target.place).is_dir():
        raise UsageError(
            f"{target.place} is not there; `dualtower rollout push BUNDLE TARGET` makes it"
        )
    alone = nullcontext() if dry_run else held_alone(target.lock, step)
    with alone:
        yield Session(target, Journal(target.journal), patience or Patience(), dry_run, settings)
