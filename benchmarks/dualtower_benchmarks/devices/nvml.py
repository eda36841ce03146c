"""NVIDIA cards by NVML (`pip install nvidia-ml-py`): what each says, or why it says nothing.

Every quantity has an error of its own: a card without an energy counter still has power, a user
without permission still sees clocks. A card that is lost says nothing from then on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.drivers.driver import NotHere

__all__ = ["QUANTITIES", "THROTTLES", "Card", "CardLost", "open_cards"]

# bits of nvmlDeviceGetCurrentClocksEventReasons that slow a card down; being idle is not among them
THROTTLES = {
    0x002: "application clocks",
    0x004: "software power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
    0x100: "display clock",
}
_CLOCK_SM = 1  # NVML_CLOCK_SM
_CORE_SENSOR = 0  # NVML_TEMPERATURE_GPU
_MIG_ON = 1  # NVML_DEVICE_MIG_ENABLE
_LOST = ("NVMLError_GpuIsLost", "NVMLError_ResetRequired", "NVMLError_GpuNotFound")
_WORDS = {
    "NVMLError_NotSupported": "not readable: the card does not support it",
    "NVMLError_NoPermission": "not readable: no permission",
    "NVMLError_FunctionNotFound": "not readable: the driver is too old for it",
}

# quantity: how NVML is asked
QUANTITIES: dict[str, Callable[[Any, Any], Any]] = {
    "power_w": lambda nvml, card: nvml.nvmlDeviceGetPowerUsage(card) / 1e3,
    "energy_j": lambda nvml, card: nvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1e3,
    "utilisation": lambda nvml, card: nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100,
    "memory_bytes": lambda nvml, card: nvml.nvmlDeviceGetMemoryInfo(card).used,
    "sm_clock_mhz": lambda nvml, card: nvml.nvmlDeviceGetClockInfo(card, _CLOCK_SM),
    "temperature_c": lambda nvml, card: nvml.nvmlDeviceGetTemperature(card, _CORE_SENSOR),
    "throttle_bits": lambda nvml, card: nvml.nvmlDeviceGetCurrentClocksEventReasons(card),
    "pids": lambda nvml, card: frozenset(
        process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(card)
    ),
}


class CardLost(Exception):
    """The card fell off the bus, or must be reset."""


@dataclass(frozen=True)
class Card:
    """One card.

    Args:
        nvml: the module `pynvml`, or a double of it.
        mig: it is cut into instances (Multi-Instance GPU); then power, energy and memory are of
            the whole card, whatever part of it a process has.
    """

    nvml: Any
    handle: Any
    name: str
    uuid: str
    mig: bool

    def read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Values by quantity, and why the others are missing.

        Raises:
            CardLost: it says nothing any more.
        """
        values: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        for quantity, ask in QUANTITIES.items():
            try:
                values[quantity] = ask(self.nvml, self.handle)
            except self.nvml.NVMLError as error:
                if type(error).__name__ in _LOST:
                    raise CardLost(f"{self.name} was lost ({error})") from error
                reasons[quantity] = _reason(error)
        return values, reasons

    def facts(self) -> Mapping[str, Any]:
        return {"name": self.name, "uuid": self.uuid, "mig": self.mig}


def open_cards(nvml: Any = None) -> list[Card]:
    """The cards of this machine.

    Args:
        nvml: a double of the module `pynvml`; None imports it.

    Raises:
        NotHere: there is none, or nothing that could read one.
    """
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ModuleNotFoundError as error:
            raise NotHere(_without_bindings()) from error
    try:
        nvml.nvmlInit()
        cards = [_card(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        raise NotHere(f"no GPU here ({error})") from error
    if not cards:
        raise NotHere("no GPU here")
    return cards


def _without_bindings() -> str:
    from dualtower_benchmarks.machine import gpu_names

    if gpu_names():
        return "not readable: pip install 'dualtower[gpu]' brings NVML"
    return "no GPU here"


def _card(nvml: Any, index: int) -> Card:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        mig = nvml.nvmlDeviceGetMigMode(handle)[0] == _MIG_ON
    except nvml.NVMLError:  # cards before it have no such mode
        mig = False
    return Card(
        nvml, handle, _text(nvml.nvmlDeviceGetName(handle)), _text(nvml.nvmlDeviceGetUUID(handle)),
        mig,
    )  # fmt: skip


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # old bindings give bytes


def _reason(error: Exception) -> str:
    return _WORDS.get(type(error).__name__, f"not readable: {error}")
