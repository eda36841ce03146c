"""What a machine can tell, found once for a run; each load is watched by a meter of its own.

devices = Devices.of_this_machine()
with devices.watch(server_pid=4711, generator_pid=4712) as watched:
    run = process.run(load)
found = watched.fields(row, window_of(run.samples), served=True)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dualtower_benchmarks.devices import rapl
from dualtower_benchmarks.devices.cpu_time import ProcessTree
from dualtower_benchmarks.devices.meter import INTERVAL_S, Meter
from dualtower_benchmarks.devices.nvml import Card, open_cards
from dualtower_benchmarks.devices.sensors import CardSensor, CpuTimeSensor, RaplSensor
from dualtower_benchmarks.devices.watched import Watched
from dualtower_benchmarks.drivers.driver import NotHere

__all__ = ["Devices"]


@dataclass(frozen=True)
class Devices:
    """The readable devices of this machine.

    Args:
        cards, zones: or why there are none.
        price_per_hour: by CPU and GPU, of the machine that has it.
    """

    cards: Sequence[Card] | str
    zones: Sequence[rapl.Zone] | str
    price_per_hour: Mapping[str, float] = field(default_factory=dict)
    interval_s: float = INTERVAL_S

    @classmethod
    def of_this_machine(
        cls,
        price_per_hour: Mapping[str, float] | None = None,
        *,
        nvml: Any = None,
        rapl_root: Path = rapl.ROOT,
    ) -> Devices:
        """Looks for cards and counters.

        Args:
            nvml: a double of `pynvml`; None imports it.
        """
        cards: Sequence[Card] | str
        zones: Sequence[rapl.Zone] | str
        try:
            cards = open_cards(nvml)
        except NotHere as reason:
            cards = str(reason)
        try:
            zones = rapl.open_zones(rapl_root)
        except NotHere as reason:
            zones = str(reason)
        return cls(cards, zones, price_per_hour or {})

    def facts(self) -> dict[str, Any]:
        """What could be read, for the head of the results."""
        return {
            "cards": self.cards
            if isinstance(self.cards, str)
            else [dict(card.facts()) for card in self.cards],
            "cpu_energy": self.zones
            if isinstance(self.zones, str)
            else [zone.name for zone in self.zones],
            "interval_s": self.interval_s,
        }

    @contextmanager
    def watch(self, *, server_pid: int | None, generator_pid: int) -> Iterator[Watched]:
        """Reads everything until the block ends.

        Args:
            server_pid: of a server that this run started; None: there is none, or it is another's.
        """
        watched = self.watched(server_pid=server_pid, generator_pid=generator_pid)
        with Meter(watched.sensors, interval_s=self.interval_s):
            yield watched

    def watched(self, *, server_pid: int | None, generator_pid: int) -> Watched:
        """Sensors of a load that nothing reads yet."""
        return Watched(
            prices=self.price_per_hour,
            cards=self.cards
            if isinstance(self.cards, str)
            else [CardSensor(card) for card in self.cards],
            cpu_energy=self.zones if isinstance(self.zones, str) else RaplSensor(self.zones),
            server=_tree(server_pid) if server_pid else None,
            generator=_tree(generator_pid),
        )


def _tree(pid: int) -> CpuTimeSensor | None:
    try:
        return CpuTimeSensor(ProcessTree(pid))
    except psutil.NoSuchProcess:
        return None
