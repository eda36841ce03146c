"""What a meter reads, each with its readings so far: a card, the CPU's counters, a process tree.

A sensor that was there and fails later keeps what it has and says from then on why it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dualtower_benchmarks.devices.cpu_time import ProcessTree
from dualtower_benchmarks.devices.nvml import Card, CardLost
from dualtower_benchmarks.devices.rapl import Zone
from dualtower_benchmarks.devices.series import Series, unwrapped

__all__ = ["CardSensor", "CpuTimeSensor", "RaplSensor", "Sensor"]


class Sensor(Protocol):
    """Anything that is read again and again while a load runs."""

    def sample(self, at_ns: int) -> None:
        """Takes one reading and keeps it; never raises for what the device does."""


class CardSensor:
    """A GPU: a series a quantity.

    Attributes:
        reasons: why a quantity has no series.
        lost: why there are no further readings; None: there are.
        pids: processes that computed on it at any reading.
    """

    def __init__(self, card: Card) -> None:
        self.card = card
        self.reasons: dict[str, str] = {}
        self.lost: str | None = None
        self.pids: frozenset[int] = frozenset()
        self.most_processes = 0
        self._pairs: dict[str, list[tuple[int, Any]]] = {}

    def sample(self, at_ns: int) -> None:
        if self.lost:
            return
        try:
            values, reasons = self.card.read()
        except CardLost as error:
            self.lost = str(error)
            return
        self.reasons |= reasons
        pids = values.pop("pids", frozenset())
        self.pids |= pids
        self.most_processes = max(self.most_processes, len(pids))
        for quantity, value in values.items():
            self._pairs.setdefault(quantity, []).append((at_ns, value))

    def series(self, quantity: str) -> Series | str:
        """The readings of a quantity, or why there are none."""
        pairs = self._pairs.get(quantity)
        if pairs:
            return Series.of(pairs)
        return self.lost or self.reasons.get(quantity, "not readable")


class RaplSensor:
    """Packages and memory of the CPU: their sum, without wraps."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self.names = [zone.name for zone in zones]
        self._zones = zones
        self._at_ns: list[int] = []
        self._counters: list[list[float]] = [[] for _ in zones]
        self._ended: str | None = None

    def sample(self, at_ns: int) -> None:
        if self._ended:
            return
        try:
            counters = [zone.energy_j() for zone in self._zones]
        except (OSError, ValueError) as error:
            self._ended = f"not readable: RAPL counters ended ({error})"
            return
        self._at_ns.append(at_ns)
        for kept, counter in zip(self._counters, counters, strict=True):
            kept.append(counter)

    def series(self) -> Series | str:
        """Joules of all zones together, or why there are none."""
        if not self._at_ns:
            return self._ended or "not readable"
        total = np.zeros(len(self._at_ns))
        for zone, kept in zip(self._zones, self._counters, strict=True):
            joules = unwrapped(np.array(kept), zone.wraps_at_j)
            if joules is None:
                return f"not readable: the RAPL counter {zone.name} fell, its range is unknown"
            total += joules
        return Series(np.array(self._at_ns, dtype=np.int64), total)


class CpuTimeSensor:
    """Seconds of CPU time of a process tree."""

    def __init__(self, tree: ProcessTree) -> None:
        self.tree = tree
        self._pairs: list[tuple[int, float]] = []

    def sample(self, at_ns: int) -> None:
        self._pairs.append((at_ns, self.tree.cpu_s()))

    def series(self) -> Series:
        return Series.of(self._pairs)
