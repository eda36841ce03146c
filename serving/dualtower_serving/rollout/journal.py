"""The journal of a target: what was begun, what was done, and the state after it.

    TARGET/rollout/journal.jsonl      a line of JSON for each event, flushed to the disk

A step writes `begin` before it touches anything, and `done` or `failed` behind it. A process that
is killed leaves a `begin` at the end: the next run of the same step goes on from there. Half a line
at the end is of a writer that died in it; nothing had been done on its strength.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower.files import disk_errors, fsync_path, make_folder
from dualtower_serving.rollout.lock import whoami
from dualtower_serving.rollout.state import State

__all__ = ["Entry", "Journal"]

_PHASES = ("begin", "done", "failed")


@dataclass(frozen=True)
class Entry:
    """One event: a step's phase, what it was asked to do, what came of it, and by whom."""

    at: str
    by: str
    step: str
    phase: str
    what: Mapping[str, Any]
    state: Mapping[str, Any] | None = None


class Journal:
    """Reads and appends; only who holds the lock of the target may append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = self._read()

    @property
    def state(self) -> State:
        """The state after the last event that has one."""
        raw = next((one.state for one in reversed(self.entries) if one.state is not None), None)
        return State() if raw is None else State.from_json(raw)

    @property
    def unfinished(self) -> Entry | None:
        """The step that was begun and neither done nor failed."""
        last = self.entries[-1] if self.entries else None
        return last if last is not None and last.phase == "begin" else None

    def begin(self, step: str, **what: Any) -> None:
        """A step is about to change something."""
        self._append(step, "begin", what, None)

    def done(self, step: str, state: State, **what: Any) -> None:
        """A step has brought `state` about."""
        self._append(step, "done", what, state)

    def failed(self, step: str, **what: Any) -> None:
        """A step has put everything back as it was."""
        self._append(step, "failed", what, None)

    def _append(self, step: str, phase: str, what: Mapping[str, Any], state: State | None) -> None:
        entry = Entry(
            datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            whoami(),
            step,
            phase,
            what,
            None if state is None else state.as_json(),
        )
        line = json.dumps(vars(entry), ensure_ascii=False) + "\n"
        with disk_errors(self.path):
            make_folder(self.path.parent)
            new = not self.path.exists()
            with self.path.open("r+b" if not new else "w+b") as stream:
                stream.seek(_whole_bytes(self.path))
                stream.truncate()  # half a line of a writer that was killed
                stream.write(line.encode())
                stream.flush()
                os.fsync(stream.fileno())
            if new:
                fsync_path(self.path.parent)
        self.entries.append(entry)

    def _read(self) -> list[Entry]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read ({error.strerror})") from error
        entries = []
        for number, line in enumerate(content[: _whole_bytes(self.path)].splitlines(), 1):
            try:
                entry = Entry(**json.loads(line))
                if entry.phase not in _PHASES:
                    raise ValueError(f"phase {entry.phase!r}")
            except (ValueError, TypeError) as error:
                raise UsageError(
                    f"line {number} of {self.path} is no entry of a journal ({error}); restore "
                    "the file, or move it away: the next `dualtower rollout load` begins a new one "
                    "from what the servers hold"
                ) from error
            entries.append(entry)
        return entries


def _whole_bytes(path: Path) -> int:
    """How many bytes of a file are whole lines."""
    return path.read_bytes().rfind(b"\n") + 1
