"""What a scenario can hold beside its sweeps: tables of a kind of their own, with their results.

    [[mlperf]] ─► cases ─► a session, which measures them repeat by repeat ─► "mlperf": {…}

A part is a table's name, the dataclass of its entries, and what measures them. All of them are
resumed by the same store, stand in the same file, and are drawn on the same page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dualtower.bundle import Bundle
from dualtower.progress import Bar, say
from dualtower_benchmarks.devices.here import Devices
from dualtower_benchmarks.pace.log import PaceLog
from dualtower_benchmarks.scenario.blocks import Block
from dualtower_benchmarks.scenario.figures import PartRow
from dualtower_benchmarks.scenario.jobs import Engine, serving
from dualtower_benchmarks.scenario.settings import ScenarioSettings
from dualtower_benchmarks.scenario.store import PointStore
from dualtower_benchmarks.scenario.subject import Subject

__all__ = ["Part", "PartCase", "Place", "Session"]


class PartCase(Protocol):
    """An entry of a table; a frozen dataclass, whose every field can be swept."""

    @property
    def key(self) -> str:
        """Equal cases have equal keys in every run, and no key is one of another table's."""

    @property
    def load_s(self) -> float:
        """How long it is measured, without the starts."""

    @property
    def words(self) -> str:
        """What it is, in a line of the plan and of the progress."""

    def as_json(self) -> dict[str, Any]:
        """Every field."""


@dataclass(frozen=True)
class Place:
    """Where a part is measured, and how.

    Args:
        settings: of the scenario.
        opened: the bundle that was given; None where no entry needs one.
        store: keeps what was measured, for a run that is killed.
        pace: the machine's own, to be taken around each case.
        out: the results file that the run writes.
        address, rest_address: of a running server; None starts one.
    """

    settings: ScenarioSettings
    opened: Bundle | None
    store: PointStore
    pace: PaceLog
    out: Path
    devices: Devices
    address: str | None
    rest_address: str | None

    @property
    def bundle(self) -> Bundle:
        """That of the run; `run_scenario` holds that it is there for whoever needs one."""
        assert self.opened is not None
        return self.opened

    @contextmanager
    def server(self, subject: Subject) -> Iterator[Engine]:
        """The server at the address, or one started as the subject wants it; see `jobs.serving`."""
        where = {"address": self.address, "rest_address": self.rest_address}
        with serving(subject, self.bundle, **where) as engine:
            say(f"  {engine.engine or 'server'} at {engine.address or engine.rest_address}")
            yield engine


class Session(Protocol):
    """The measuring of one part."""

    servers: list[dict[str, Any]]  # that were asked, see `Engine.as_json`

    def repeat(self, repeat: int, progress: Bar) -> None:
        """Measures every case once; `progress` counts their whole seconds of load."""

    def document(self) -> dict[str, Any]:
        """What goes into the results: `rows`, `absent` and what else belongs to the part."""


@dataclass(frozen=True)
class Part:
    """A kind of table. All there are stand in `parts`.

    Args:
        table: its name in the file, and in `--set table.key=value`.
        section: the name of its results.
        case: the dataclass of an entry.
        session: measures the entries of a scenario.
        blocks: its results as tables.
        figures: its results as a comparison takes them.
        hold: raises NotHere where nothing of the part can be measured here.
        needs_bundle: False: what is measured is no bundle's.
    """

    table: str
    section: str
    case: type[Any]
    session: Callable[[Sequence[Any], Place], Session]
    blocks: Callable[[Mapping[str, Any]], Sequence[Block]]
    figures: Callable[[Mapping[str, Any]], Sequence[PartRow]]
    hold: Callable[[], None] = lambda: None
    needs_bundle: bool = True
