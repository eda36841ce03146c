"""What measuring an event gives, and where it is measured."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.jobs import Engine
from dualtower_benchmarks.scenario.part import Place

__all__ = ["Event", "Measured"]


@dataclass(frozen=True)
class Measured:
    """One attempt at an event.

    Args:
        result: of its kind.
        loads: all requests of each load, in the order of sending.
        engine: that answered.
        capacity_qps: of the closed loop before it; None: there was none.
        offered_qps: of its open loop.
        void: why its figures are not the server's; None: they are.
    """

    result: Mapping[str, Any]
    loads: Sequence[Samples] = ()
    engine: str = ""
    capacity_qps: float | None = None
    offered_qps: float | None = None
    void: str | None = None


@dataclass(frozen=True)
class Event:
    """An event that is about to be measured.

    Args:
        attempt: from 0; a further one follows a void one.
        servers: where it says which servers it asked.
    """

    case: EventCase
    place: Place
    repeat: int
    attempt: int = 0
    servers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """Of the arrivals."""
        return self.place.settings.seed + 1000 * self.repeat + self.attempt

    def own_server(self, *, what: str, docker: bool = True) -> None:
        """Raises NotHere where the event cannot have the server that it needs.

        Args:
            what: it does with the server, for the reason.
            docker: whether a container will do.
        """
        if self.place.address is not None:
            raise NotHere(f"it {what}, and --address names one that runs already")
        if docker:
            return
        from dualtower_serving.engines import choose

        if choose(self.case.engine) == "docker":
            raise NotHere(f"it {what}, which is in a container; take engine = 'embedded'")

    def keep(self, engine: Engine) -> None:
        """Notes a server that was asked."""
        self.servers.append(engine.as_json(self.case))

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder beside the results, so that files can be linked; removed afterwards."""
        parent = self.place.store.folder.resolve()
        with tempfile.TemporaryDirectory(prefix="event-", dir=parent) as name:
            yield Path(name)
