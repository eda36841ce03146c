"""The sensors of one load, and what they make of its row.

A row on a card that another process uses, too, is void: its figures are of both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from dualtower_benchmarks.devices.fields import (
    ENERGY_KEYS,
    GPU_KEYS,
    Found,
    card_fields,
    cores,
    per_million,
    rapl_fields,
)
from dualtower_benchmarks.devices.sensors import CardSensor, CpuTimeSensor, RaplSensor, Sensor
from dualtower_benchmarks.devices.series import Window
from dualtower_benchmarks.scenario.subject import CPU, GPU

__all__ = ["Watched", "window_of", "with_found"]

_RATES = ("energy_j_per_1000_queries", "energy_j_per_1000_rows")
_COST = "cost_per_million"


@dataclass(frozen=True)
class Watched:
    """The sensors of one load, and the keys of its row.

    Args:
        prices: per hour by CPU and GPU; what is missing or 0 is not known.
        cards, cpu_energy: or why there are none.
        server, generator: CPU time; None: no such process, or it ended before it was read.
    """

    prices: Mapping[str, float]
    cards: Sequence[CardSensor] | str
    cpu_energy: RaplSensor | str
    server: CpuTimeSensor | None
    generator: CpuTimeSensor | None

    @property
    def sensors(self) -> list[Sensor]:
        found: list[Sensor | None] = [self.server, self.generator]
        if not isinstance(self.cards, str):
            found += self.cards
        if not isinstance(self.cpu_energy, str):
            found.append(self.cpu_energy)
        return [sensor for sensor in found if sensor is not None]

    def fields(self, row: Mapping[str, Any], window: Window | None, *, served: bool) -> Found:
        """Keys of the row.

        Args:
            row: `device_found`, `n`, `batch_rows` and `rows_per_s` of it are read.
            window: what the row is about; None: nothing was answered.
            served: a server was asked, rather than a model in the generator's process.
        """
        found = Found()
        if window is None or not row["n"]:
            everything = (
                *GPU_KEYS, *ENERGY_KEYS, *_RATES, "device_metered", "cpu_cores_server",
                "cpu_cores_generator", _COST,
            )  # fmt: skip
            found.miss("no request was answered", *everything)
            return found
        device = self._device(row["device_found"], found, window, served=served)
        self._cores(found, window, served=served)
        if (joules := found.values["energy_j"]) is None:
            found.miss(found.not_known["energy_j"], *_RATES)
        else:
            found.know(_RATES[0], joules / row["n"] * 1e3)
            found.know(_RATES[1], joules / row["n"] / row["batch_rows"] * 1e3)
        price = self.prices.get(device or "", 0.0)
        if price > 0:
            found.know(_COST, per_million(price, row["rows_per_s"]))
        else:
            found.miss(f"the scenario has no price_per_hour.{device or 'of this device'}", _COST)
        return found

    def _device(
        self, device_found: str, found: Found, window: Window, *, served: bool
    ) -> str | None:
        """Fills in the keys of the device; returns what it is."""
        card: CardSensor | str | None = None
        if device_found == GPU:
            card = self._card()
        elif device_found != CPU and self.server is not None:
            card = self._named_card()
        if card is not None:
            card_fields(found, card, window)
            if isinstance(card, str):
                found.miss(card, "device_metered")
            else:
                found.know("device_metered", f"{card.card.name} {card.card.uuid}")
                found.void = found.void or self._shared(card)
            return GPU
        started_here = served and self.server is not None
        if device_found == CPU or (started_here and isinstance(self.cards, str)):
            rapl_fields(found, self.cpu_energy, window)
            found.know("device_metered", CPU)
            return CPU
        reason = "the server does not say on what it computes, and no card names its process"
        found.miss(reason, *GPU_KEYS, *ENERGY_KEYS, "device_metered")
        return None

    def _card(self) -> CardSensor | str:
        """The card that this run's processes are on, or why it is not known."""
        if isinstance(self.cards, str):
            return self.cards
        if (named := self._named_card()) is not None:
            return named
        if len(self.cards) == 1:
            return self.cards[0]  # in a container a card names processes by ids of the host
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        for card in self.cards:
            if card.card.uuid == visible:
                return card
        return f"there are {len(self.cards)} cards, and none names a process of this run"

    def _named_card(self) -> CardSensor | str | None:
        """The card that names a process of this run; None: none does."""
        cards = [] if isinstance(self.cards, str) else self.cards
        named = [card for card in cards if card.pids & self._pids()]
        if len(named) > 1:
            return f"the run is on {len(named)} cards at once; give it one by CUDA_VISIBLE_DEVICES"
        return named[0] if named else None

    def _shared(self, card: CardSensor) -> str | None:
        """Why the card's figures are not of this run alone; None: they are, as far as it says."""
        ours = self._pids()
        if card.pids & ours:
            others = sorted(card.pids - ours)
            if others:
                names = ", ".join(f"{pid} ({_name(pid)})" for pid in others)
                return f"the card is shared: process {names} computes on it, too"
        elif card.most_processes > 1:
            return f"the card is shared: {card.most_processes} processes compute on it"
        return None

    def _pids(self) -> frozenset[int]:
        trees = [sensor.tree.pids for sensor in (self.server, self.generator) if sensor]
        return frozenset().union(*trees)

    def _cores(self, found: Found, window: Window, *, served: bool) -> None:
        reasons = {
            "cpu_cores_server": "the server is no process that this run started"
            if served
            else "in process: cpu_cores_generator holds the model's work, too",
            "cpu_cores_generator": "the process ended before it was read",
        }
        for key, sensor in (
            ("cpu_cores_server", self.server if served else None),
            ("cpu_cores_generator", self.generator),
        ):
            taken = cores(sensor.series(), window) if sensor else reasons[key]
            if isinstance(taken, str):
                found.miss(taken, key)
            else:
                found.know(key, taken)


def window_of(samples: Any) -> Window | None:
    """From the first due request to the last answer of `Samples`; None: there is no such time."""
    if not len(samples):
        return None
    begin_ns, end_ns = int(samples.due_ns.min()), int(samples.done_ns.max())
    return Window(begin_ns, end_ns) if end_ns > begin_ns else None


def with_found(row: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """The row with its new keys; without its latencies where it is void for what was found."""
    joined = {**row, **found.values, "not_known": found.not_known}
    if found.void is None:
        return joined
    blank = {key: None for key, value in row.items() if key.endswith("_ms") and _interval(value)}
    return {**joined, **blank, "void": row["void"] or found.void}


def _interval(value: Any) -> bool:
    return isinstance(value, Mapping) and "value" in value


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "of another user or container"
