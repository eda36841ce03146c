"""Takes of the pace around each case, in the store of the run, so that a killed one keeps them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dualtower_benchmarks.pace.work import Take, take
from dualtower_benchmarks.scenario.store import PointStore

__all__ = ["PaceLog"]

_PACE = "pace"


class PaceLog:
    """The pace of a run.

    Args:
        store: keeps it until the results are written.
        fresh_s: for how long the take after a case is that before the next, which it is where
            nothing is started in between.
    """

    def __init__(self, store: PointStore, *, fresh_s: float = 1.0) -> None:
        self._store, self._fresh_s = store, fresh_s
        self._last: Take | None = None
        self._ended_s = 0.0

    @contextmanager
    def around(self, repeat: int, *keys: str) -> Iterator[Callable[[], None]]:
        """Takes the pace before what is measured here and after it; nothing is kept where it
        raises.

        Args:
            keys: of the cases that are measured together; the takes are of each.

        Yields:
            what takes it once more, for whoever measures in several loads.
        """
        is_fresh = time.monotonic() - self._ended_s < self._fresh_s
        takes = [self._last if self._last and is_fresh else self._take()]
        yield lambda: takes.append(self._take())
        takes.append(self._take())
        for key in keys:
            rows = [{"key": key, "repeat": repeat, **dataclasses.asdict(one)} for one in takes]
            self._store.note(_PACE, repeat, key, rows)

    def takes(self) -> list[dict[str, Any]]:
        """All that were kept, in the order of time: `key`, `repeat` and what a `Take` has."""
        return sorted(self._store.notes(_PACE), key=lambda row: row["at_s"])

    def _take(self) -> Take:
        self._last = take()
        self._ended_s = time.monotonic()
        return self._last
