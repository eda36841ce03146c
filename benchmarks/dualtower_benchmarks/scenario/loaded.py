"""The measuring of subjects under loads: what is shared by several cases is opened once.

    cases ─► grouped by server ─► by process ─► by subject ─► measured one by one, each kept

A run that was killed goes on with the next case.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dualtower.progress import Bar
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.load.process import LoadProcess, ProcessInTurn
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.groups import groups_by
from dualtower_benchmarks.scenario.jobs import Engine, job_of, process_key, server_key
from dualtower_benchmarks.scenario.part import Place
from dualtower_benchmarks.scenario.subject import Subject

__all__ = ["LoadedSession"]

C = TypeVar("C", bound=Subject)


@dataclass
class LoadedSession(ABC, Generic[C]):
    """A session whose every case is a subject in a process of its driver.

    Args:
        rows: of what was measured, every repeat its own.
        raw: requests behind them, in the order of the rows.
        servers: that were asked.
        absent: cases that this machine cannot run, by key.
    """

    cases: Sequence[C]
    place: Place
    rows: list[dict[str, Any]] = field(default_factory=list)
    raw: list[Samples] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, dict[str, Any]] = field(default_factory=dict)

    @abstractmethod
    def measured(
        self,
        repeat: int,
        case: C,
        process: LoadProcess,
        engine: Engine | None,
        progress: Bar,
        again: Callable[[], None],
    ) -> tuple[list[dict[str, Any]], list[Samples]]:
        """The rows of a case and what the store keeps beside them; it moves `progress` on.

        Args:
            again: takes the machine's pace once more, to be called between loads.

        Raises:
            NotHere: the driver is there, and cannot do what the case asks for.
        """

    @abstractmethod
    def keep(
        self, repeat: int, case: C, rows: Sequence[dict[str, Any]], raw: Sequence[Samples]
    ) -> None:
        """Takes what was measured now, or by a run that was killed, into the results."""

    def repeat(self, repeat: int, progress: Bar) -> None:
        """Measures every case once, but those that an earlier repeat found absent."""
        for group in groups_by(self.cases, server_key):
            todo = [case for case in group if not self._is_done(repeat, case)]
            with ExitStack() as stack:
                engine = None
                if todo and server_key(todo[0]):
                    engine = stack.enter_context(self.place.server(todo[0]))
                    self.servers.append(engine.as_json(todo[0]))
                for together in groups_by(group, process_key):
                    with ProcessInTurn() as processes:
                        for cases in groups_by(together, lambda case: case.subject_key):
                            self._subject(repeat, cases, engine, processes, progress)

    def miss(self, cases: Sequence[C], reason: str, progress: Bar) -> None:
        """Notes cases as absent."""
        for case in cases:
            self.absent[case.key] = {**case.as_json(), "reason": reason}
        progress.skip(sum(map(load_s, cases)), note=reason)

    def _is_done(self, repeat: int, case: C) -> bool:
        return case.key in self.absent or self.place.store.has(repeat, case.key)

    def _subject(
        self,
        repeat: int,
        cases: Sequence[C],
        engine: Engine | None,
        processes: ProcessInTurn,
        progress: Bar,
    ) -> None:
        process: LoadProcess | None = None
        for number, case in enumerate(cases):
            kept = self.place.store.read(repeat, case.key)
            if self._is_done(repeat, case):
                progress.skip(load_s(case))
            else:
                if process is None:
                    job = job_of(case, self.place.bundle, self.place.settings, engine)
                    try:
                        process = processes.open(job)
                    except NotHere as reason:
                        self.miss(cases[number:], str(reason), progress)
                        return
                try:
                    with self.place.pace.around(repeat, case.key) as again:
                        kept = self.measured(repeat, case, process, engine, progress, again)
                except NotHere as reason:
                    self.miss([case], str(reason), progress)
                    continue
                self.place.store.write(repeat, case.key, *kept)
            if kept is not None:
                self.keep(repeat, case, *kept)
