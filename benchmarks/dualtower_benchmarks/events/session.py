"""All life events that a scenario asks for, one after the other, each with servers of its own.

The requests behind the rows go to `<stem>.events.parquet` beside the results; `raw_points` of a row
names them. A run that was killed goes on with the next event.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualtower.progress import Bar
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.events.measured import Event, Measured
from dualtower_benchmarks.load.raw_store import write_raw
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.part import Place

__all__ = ["EventsSession"]

_LONG = "soak"  # what is void after half an hour is not begun anew


@dataclass
class EventsSession:
    """The events of a scenario.

    Args:
        rows: every attempt of every repeat.
        raw: requests by the numbers that the rows name.
        servers: that were asked.
        absent: events that cannot be had here, by key.
    """

    cases: Sequence[EventCase]
    place: Place
    rows: list[dict[str, Any]] = field(default_factory=list)
    raw: list[Samples] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, dict[str, Any]] = field(default_factory=dict)

    def repeat(self, repeat: int, progress: Bar) -> None:
        """Makes every event happen once, and writes the requests so far."""
        for case in self.cases:
            if case.key in self.absent:  # an earlier repeat found out
                progress.skip(load_s(case))
                continue
            kept = self.place.store.read(repeat, case.key)
            if kept is not None:
                progress.skip(load_s(case))
            else:
                try:
                    with self.place.pace.around(repeat, case.key) as again:
                        kept = self._measured(case, repeat, again)
                except NotHere as reason:
                    self.absent[case.key] = {**case.as_json(), "reason": str(reason)}
                    progress.skip(load_s(case), note=str(reason))
                    continue
                self.place.store.write(repeat, case.key, *kept)
                progress.advance(load_s(case), note=case.words)
            self._keep(*kept)
        write_raw(self._raw_path, self.raw)

    def document(self) -> dict[str, Any]:
        """What goes into the results as `events`."""
        return {
            "rows": self.rows,
            "absent": list(self.absent.values()),
            "raw_file": self._raw_path.name,
        }

    @property
    def _raw_path(self) -> Path:
        return self.place.out.with_name(f"{self.place.out.stem}.events.parquet")

    def _measured(
        self, case: EventCase, repeat: int, again: Callable[[], None]
    ) -> tuple[list[dict[str, Any]], list[Samples]]:
        """Rows, each followed by an empty one for each of its loads, as the store pairs them."""
        kind = importlib.import_module(f"dualtower_benchmarks.events.{case.kind}")
        rows: list[dict[str, Any]] = []
        raw: list[Samples] = []
        attempts = 1 if case.kind == _LONG else self.place.settings.attempts
        for attempt in range(attempts):
            if attempt:
                again()
            event = Event(case, self.place, repeat, attempt, self.servers)
            found: Measured = kind.measure(event)
            rows += [_row(event, found), *({} for _ in found.loads)]
            head_s = case.warmup_s if "warmup_s" in case.takes else 0.0
            raw += [Samples.none(), *(one.with_warmup(head_s) for one in found.loads)]
            if found.void is None:
                break
        return rows, raw

    def _keep(self, rows: Sequence[dict[str, Any]], raw: Sequence[Samples]) -> None:
        for row, samples in zip(rows, raw, strict=True):
            if row:
                self.rows.append({**row, "raw_points": []})
            else:
                self.rows[-1]["raw_points"].append(len(self.raw))
                self.raw.append(samples)


def _row(event: Event, found: Measured) -> dict[str, Any]:
    case = event.case
    return {
        "key": case.key,
        "repeat": event.repeat,
        "attempt": event.attempt,
        **case.as_json(),
        "engine": found.engine,
        "capacity_qps": found.capacity_qps,
        "offered_qps": found.offered_qps,
        "void": found.void,
        case.kind: found.result,
    }
