"""A double of the module `pynvml`: cards whose curves are known, and what can go wrong with them.

    clock = ScriptedClock()
    nvml = ScriptedNvml([ScriptedCard(power_w=lambda t: 100 + 10 * t)], clock)
    Devices.of_this_machine(nvml=nvml)

It has the functions that `nvml.QUANTITIES` asks, no more, under the names and units of NVML. What
it tells is a function of the scripted time, so energy is known to the joule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

__all__ = ["ScriptedCard", "ScriptedClock", "ScriptedNvml"]

Curve = Callable[[float], float]


class ScriptedClock:
    """Nanoseconds that go on when they are told to."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    @property
    def seconds(self) -> float:
        return self.now_ns / 1e9


@dataclass
class ScriptedCard:
    """A card as functions of the seconds on the scripted clock.

    Args:
        energy_j: of its counter; None: it has none.
        pids: of the processes that compute on it.
        fails: by function of NVML, the name of the error that it answers with.
        lost_from_s: from when on it answers nothing; None: never.
        mig: whether it is cut into instances; None: it has no such mode.
    """

    power_w: Curve = lambda _: 100.0
    energy_j: Curve | None = None
    utilisation: Curve = lambda _: 0.5
    memory_bytes: int = 1 << 30
    sm_clock_mhz: int = 1980
    temperature_c: int = 50
    throttle_bits: Callable[[float], int] = lambda _: 0
    pids: Sequence[int] = ()
    fails: Mapping[str, str] = field(default_factory=dict)
    lost_from_s: float | None = None
    mig: bool | None = False
    name: str = "Scripted GPU"
    uuid: str = "GPU-0"


class _Error(Exception):
    """`NVMLError`, whose sub-classes are named as those of pynvml."""


class ScriptedNvml:
    """What stands in for the module.

    Args:
        init_fails: name of the error of nvmlInit, such as NVMLError_LibraryNotFound.
    """

    NVMLError = _Error

    def __init__(
        self, cards: Sequence[ScriptedCard], clock: ScriptedClock, *, init_fails: str | None = None
    ) -> None:
        self._cards, self._clock, self._init_fails = cards, clock, init_fails

    def nvmlInit(self) -> None:
        if self._init_fails:
            raise _named(self._init_fails)

    def nvmlDeviceGetCount(self) -> int:
        return len(self._cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> ScriptedCard:
        return self._cards[index]

    def nvmlDeviceGetName(self, card: ScriptedCard) -> str:
        return card.name

    def nvmlDeviceGetUUID(self, card: ScriptedCard) -> str:
        return card.uuid

    def nvmlDeviceGetMigMode(self, card: ScriptedCard) -> list[int]:
        if card.mig is None:
            raise _named("NVMLError_NotSupported")
        return [int(card.mig), int(card.mig)]

    def nvmlDeviceGetPowerUsage(self, card: ScriptedCard) -> int:
        return round(self._told(card, "nvmlDeviceGetPowerUsage", card.power_w) * 1e3)

    def nvmlDeviceGetTotalEnergyConsumption(self, card: ScriptedCard) -> int:
        name = "nvmlDeviceGetTotalEnergyConsumption"
        if card.energy_j is None:
            raise _named("NVMLError_NotSupported")
        return round(self._told(card, name, card.energy_j) * 1e3)

    def nvmlDeviceGetUtilizationRates(self, card: ScriptedCard) -> Any:
        share = self._told(card, "nvmlDeviceGetUtilizationRates", card.utilisation)
        return SimpleNamespace(gpu=round(share * 100), memory=0)

    def nvmlDeviceGetMemoryInfo(self, card: ScriptedCard) -> Any:
        self._told(card, "nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(used=card.memory_bytes)

    def nvmlDeviceGetClockInfo(self, card: ScriptedCard, kind: int) -> int:
        self._told(card, "nvmlDeviceGetClockInfo")
        return card.sm_clock_mhz

    def nvmlDeviceGetTemperature(self, card: ScriptedCard, sensor: int) -> int:
        self._told(card, "nvmlDeviceGetTemperature")
        return card.temperature_c

    def nvmlDeviceGetCurrentClocksEventReasons(self, card: ScriptedCard) -> int:
        return int(self._told(card, "nvmlDeviceGetCurrentClocksEventReasons", card.throttle_bits))

    def nvmlDeviceGetComputeRunningProcesses(self, card: ScriptedCard) -> list[Any]:
        self._told(card, "nvmlDeviceGetComputeRunningProcesses")
        return [SimpleNamespace(pid=pid) for pid in card.pids]

    def _told(self, card: ScriptedCard, function: str, curve: Curve | None = None) -> float:
        if card.lost_from_s is not None and self._clock.seconds >= card.lost_from_s:
            raise _named("NVMLError_GpuIsLost")
        if function in card.fails:
            raise _named(card.fails[function])
        return curve(self._clock.seconds) if curve else 0.0


def _named(name: str) -> _Error:
    kind = type(name, (_Error,), {})
    return kind(name.removeprefix("NVMLError_"))
