"""All searches that a scenario asks for, catalogue by catalogue, the smallest first.

    cases ─► a catalogue and its exact lists ─► guards ─► builds, one after the other
          ─► as many processes as fit into the memory take turns ─► rows

What is built lies in the folder of the unfinished run until its rows are kept, so that a killed run
goes on without building again. No bundle is asked for anything.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualtower.files import make_folder
from dualtower.progress import Bar, step
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.index.build import Built, build, job_of
from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.catalogue import make_catalogue
from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.index.guards import (
    Build,
    available_bytes,
    build_reason,
    disk_bytes,
    disk_reason,
    install_reason,
    memory_reason,
    search_bytes,
)
from dualtower_benchmarks.index.rows import recall_of, row_of
from dualtower_benchmarks.index.truth import Truth, true_lists
from dualtower_benchmarks.machine import usable_cores
from dualtower_benchmarks.peer import Killed, Peer
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.groups import groups_by
from dualtower_benchmarks.scenario.part import Place

__all__ = ["IndexSession"]

_KEPT = 0.9  # of the memory that is free; the rest is the system's


@dataclass
class IndexSession:
    """The searches of a scenario.

    Args:
        rows: every point of every repeat.
        absent: points that this machine cannot have, by key.
        builds: times by recipe, for the guard of larger catalogues.
    """

    cases: Sequence[IndexCase]
    place: Place
    rows: list[dict[str, Any]] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, dict[str, Any]] = field(default_factory=dict)
    builds: dict[tuple[Any, ...], list[Build]] = field(default_factory=dict)

    def repeat(self, repeat: int, progress: Bar) -> None:
        """Measures every case once."""
        self.builds.clear()
        for cases in sorted(
            groups_by(self.cases, lambda case: case.data), key=lambda of: of[0].data
        ):
            self._catalogue(repeat, cases, progress)

    def document(self) -> dict[str, Any]:
        """What goes into the results as `index`."""
        return {"rows": self.rows, "absent": list(self.absent.values())}

    def _catalogue(self, repeat: int, cases: Sequence[IndexCase], progress: Bar) -> None:
        todo = []
        for case in cases:
            kept = self.place.store.read(repeat, case.key)
            if kept is not None:
                self.rows += kept[0]
                self._remember(case, kept[0][0]["build_s"])
                progress.skip(load_s(case))
            elif case.key in self.absent:  # an earlier repeat found out
                progress.skip(load_s(case))
            else:
                todo.append(case)
        todo = [case for case in todo if not self._guarded(case, progress)]
        if not todo:
            return
        folder = self.place.store.folder / "-".join(map(str, cases[0].data))
        seed = self.place.settings.seed
        make_folder(folder)
        items, dim, users = cases[0].data
        with step(f"{items:,} items of {dim} numbers, and their exact lists for {users} users"):
            catalogue = make_catalogue(folder / "catalogue", items, dim, users, seed=seed)
            truths = {
                k: true_lists(catalogue, k, folder / f"truth-{k}.npz")
                for k in sorted({case.k for case in todo})
            }
        for wave in self._waves(todo):
            self._wave(repeat, wave, folder, truths, progress)
        shutil.rmtree(folder)

    def _guarded(self, case: IndexCase, progress: Bar) -> bool:
        """Whether the case is absent, by what is known before anything is built."""
        available = int(_KEPT * available_bytes(case.memory_gb))
        needed = 2 * disk_bytes(case.engine, case.items, case.dim)
        reason = (
            install_reason(case.engine)
            or memory_reason(case.engine, case.items, case.dim, available)
            or disk_reason(needed, shutil.disk_usage(self.place.store.folder).free)
            or build_reason(
                case.items, self.builds.get(case.recipe, ()), max_build_s=case.max_build_s
            )
        )
        if reason:
            self._miss([case], reason, progress)
        return reason is not None

    def _waves(self, cases: Sequence[IndexCase]) -> Iterable[list[list[IndexCase]]]:
        """Processes, each a list of its cases, as many at a time as fit into the memory."""
        wave: list[list[IndexCase]] = []
        taken = 0
        for mine in groups_by(cases, lambda case: (case.build_name, case.threads)):
            case = mine[0]
            needed = search_bytes(case.engine, case.items, case.dim)
            if wave and taken + needed > _KEPT * available_bytes(case.memory_gb):
                yield wave
                wave, taken = [], 0
            wave.append(mine)
            taken += needed
        if wave:
            yield wave

    def _wave(
        self,
        repeat: int,
        wave: Sequence[Sequence[IndexCase]],
        folder: Path,
        truths: dict[int, Truth],
        progress: Bar,
    ) -> None:
        built = {}
        for cases in wave:
            case = cases[0]
            try:
                with step(f"build {case.words.partition(',')[0]}"):
                    built[case.build_name] = build(
                        case, folder, folder / "catalogue", threads=usable_cores() or 1
                    )
            except NotHere as reason:
                self._remember(case, None)
                self._miss(cases, str(reason), progress)
                continue
            self._remember(case, built[case.build_name].facts["build_s"])
        ready = [cases for cases in wave if cases[0].build_name in built]
        if ready:
            self._turns(repeat, ready, built, folder, truths, progress)
        for one in built.values():
            one.remove()

    def _turns(
        self,
        repeat: int,
        wave: Sequence[Sequence[IndexCase]],
        built: dict[str, Built],
        folder: Path,
        truths: dict[int, Truth],
        progress: Bar,
    ) -> None:
        with ExitStack() as stack:
            turns: list[tuple[IndexCase, Peer]] = []
            recalls: dict[str, dict[str, Any]] = {}
            for cases in wave:
                one = built[cases[0].build_name]
                try:
                    peer = stack.enter_context(_searching(cases[0], one, folder / "catalogue"))
                    for case in cases:
                        recalls[case.key] = self._recall(case, peer, truths[case.k])
                except Killed as error:
                    self._miss(cases, str(error), progress)
                    continue
                turns += [(case, peer) for case in cases]
            with self.place.pace.around(repeat, *(case.key for case, _ in turns)) as again:
                calls, ended = _in_turns(turns, again)
            for case, peer in turns:
                memory = _memory_of(peer, ended)
                if peer in ended:
                    self._miss([case], ended[peer], progress)
                    continue
                facts = {
                    **built[case.build_name].facts,
                    "version": peer.facts["ready"],
                    "open_s": peer.facts["open_s"],
                    "turns_with": len({one for _, one in turns}),
                    **memory,
                }
                row = row_of(
                    case, calls[case.key], recalls[case.key], facts, repeat=repeat,
                    confidence=self.place.settings.confidence,
                )  # fmt: skip
                self.place.store.write(repeat, case.key, [row], [])
                self.rows.append(row)
                progress.advance(load_s(case), note=case.words)

    def _recall(self, case: IndexCase, peer: Peer, truth: Truth) -> dict[str, Any]:
        found = peer.ask({"effort": case.effort, "batch": case.batch})["rows"]
        best = truth.unseen if ENGINES[case.engine].family == "recommender" else truth.best
        settings = self.place.settings
        return recall_of(
            found, best[: len(found)], seed=settings.seed, confidence=settings.confidence
        )

    def _remember(self, case: IndexCase, build_s: float | None) -> None:
        known = self.builds.setdefault(case.recipe, [])
        if all(one.items != case.items for one in known):
            known.append(Build(case.items, build_s))

    def _miss(self, cases: Sequence[IndexCase], reason: str, progress: Bar) -> None:
        for case in cases:
            self.absent[case.key] = {**case.as_json(), "reason": reason}
        progress.skip(sum(map(load_s, cases)), note=reason)


def _searching(case: IndexCase, built: Built, catalogue: Path) -> Peer:
    command = [sys.executable, "-m", "dualtower_benchmarks.index.search_worker"]
    return Peer(case.engine, command, job_of(case, built.path, catalogue), threads=case.threads)


def _memory_of(peer: Peer, ended: dict[Peer, str]) -> dict[str, Any]:
    """What it takes; of one that ended nothing, which is noted."""
    if peer not in ended:
        try:
            return peer.ask({"memory": True})
        except Killed as error:
            ended[peer] = str(error)
    return {}


def _in_turns(
    turns: Sequence[tuple[IndexCase, Peer]], again: Callable[[], None]
) -> tuple[dict[str, list[dict[str, Any]]], dict[Peer, str]]:
    """What each case took in each of its rounds, and why a process ended meanwhile.

    The order is turned round every time.
    """
    calls: dict[str, list[dict[str, Any]]] = {case.key: [] for case, _ in turns}
    ended: dict[Peer, str] = {}
    for number in range(max((case.rounds for case, _ in turns), default=0)):
        if number:
            again()
        for case, peer in turns if number % 2 == 0 else reversed(turns):
            if number < case.rounds and peer not in ended:
                begin = sum(len(turn["wall_ns"]) for turn in calls[case.key])
                order = {
                    "effort": case.effort, "batch": case.batch, "seconds": case.round_s,
                    "begin": begin,
                }  # fmt: skip
                try:
                    calls[case.key].append(peer.ask(order))
                except Killed as error:
                    ended[peer] = str(error)
    return calls, ended
