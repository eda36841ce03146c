"""Keys of a row out of what a meter read: exact medians and sums, or null with its reason.

`not_known` holds the reason of every null, by key. Figures are those of the row's window, from the
first request after the warm-up to the last answer, and of the device that the row was computed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dualtower_benchmarks.devices.nvml import THROTTLES
from dualtower_benchmarks.devices.sensors import CardSensor, RaplSensor
from dualtower_benchmarks.devices.series import Series, Window
from dualtower_benchmarks.stats.percentiles import nearest_rank

__all__ = [
    "COUNTER",
    "ENERGY_KEYS",
    "GPU_KEYS",
    "TRAPEZOID",
    "Found",
    "card_fields",
    "cores",
    "per_million",
    "rapl_fields",
]

COUNTER = "the card's energy counter"
TRAPEZOID = "integral of power readings by trapezoid"
_MICRO = 1e6
_NO_READING = "no reading in the window"
_SHORT = "the readings do not reach over the whole window"
_CPU = "computed on the CPU"
_FEWEST = 10  # readings for a range of the middle 80 %


@dataclass
class Found:
    """Keys of a row that are filled one after the other.

    Args:
        void: why the row tells about something else than its case; None: it does not.
    """

    values: dict[str, Any] = field(default_factory=dict)
    not_known: dict[str, str] = field(default_factory=dict)
    void: str | None = None

    def know(self, key: str, value: Any) -> None:
        self.values[key] = value

    def miss(self, reason: str, *keys: str) -> None:
        for key in keys:
            self.values[key] = None
            self.not_known[key] = reason


_POWER = "device_power_w"
GPU_KEYS = (
    _POWER,
    "gpu_utilisation",
    "gpu_memory_bytes",
    "gpu_sm_clock_mhz",
    "gpu_temperature_c",
    "gpu_throttle_reasons",
)
ENERGY_KEYS = ("energy_j", "energy_source")


def card_fields(found: Found, card: CardSensor | str, window: Window) -> None:
    """What the card of a row did.

    Args:
        card: or why there is none to read.
    """
    if isinstance(card, CardSensor) and card.card.mig:
        card = "MIG is on: NVML tells of the whole card, not of the instance that computed"
    if isinstance(card, str):
        found.miss(card, *GPU_KEYS, *ENERGY_KEYS)
        return
    if card.lost:
        found.miss(card.lost, *GPU_KEYS, *ENERGY_KEYS)
        found.void = card.lost
        return
    _median(found, card, "power_w", _POWER, window)
    _median(found, card, "utilisation", "gpu_utilisation", window)
    _median(found, card, "sm_clock_mhz", "gpu_sm_clock_mhz", window)
    _highest(found, card, "memory_bytes", "gpu_memory_bytes", window)
    _highest(found, card, "temperature_c", "gpu_temperature_c", window)
    _throttled(found, card, window)
    _energy(found, card, window)


def _throttled(found: Found, card: CardSensor, window: Window) -> None:
    bits = _read(card, "throttle_bits", window)
    if isinstance(bits, str):
        found.miss(bits, "gpu_throttle_reasons")
    else:
        seen = np.bitwise_or.reduce(bits.within(window).astype(np.int64))
        found.know("gpu_throttle_reasons", [name for bit, name in THROTTLES.items() if seen & bit])


def _energy(found: Found, card: CardSensor, window: Window) -> None:
    counter = card.series("energy_j")
    if isinstance(counter, Series) and counter.covers(window):
        joules = counter.growth(window)
        if (np.diff(counter.values) >= 0).all():  # it begins anew when the driver is loaded again
            found.know("energy_j", joules)
            found.know("energy_source", COUNTER)
            return
    power = card.series("power_w")
    if isinstance(power, str):
        found.miss(power, *ENERGY_KEYS)
    elif not power.covers(window):
        found.miss(_SHORT, *ENERGY_KEYS)
    else:
        found.know("energy_j", power.integral(window))
        found.know("energy_source", TRAPEZOID)


def rapl_fields(found: Found, sensor: RaplSensor | str, window: Window) -> None:
    """Energy of the CPU as that of the row's device, and its power between the readings.

    Args:
        sensor: or why there is none to read.
    """
    series = sensor if isinstance(sensor, str) else sensor.series()
    found.miss(_CPU, *(key for key in GPU_KEYS if key != _POWER))
    if isinstance(series, Series) and not series.covers(window):
        series = _SHORT
    if isinstance(series, str) or isinstance(sensor, str):
        found.miss(str(series), *ENERGY_KEYS, _POWER)
        return
    found.know("energy_j", series.growth(window))
    found.know("energy_source", f"RAPL counters: {', '.join(sensor.names)}")
    keep = (series.at_ns >= window.begin_ns) & (series.at_ns <= window.end_ns)
    at_s, joules = series.at_ns[keep] / 1e9, series.values[keep]
    if len(joules) < 2:
        found.miss("fewer than two readings in the window", _POWER)
    else:
        found.know(_POWER, _middle(np.diff(joules) / np.diff(at_s)))


def cores(series: Series | str, window: Window) -> float | str:
    """Cores' worth of CPU time, such as 1.5; or why it is not known."""
    if isinstance(series, str):
        return series
    if not series.covers(window):
        return _SHORT
    return series.growth(window) / window.elapsed_s


def per_million(price_per_hour: float, rows_per_s: float) -> float:
    """What a million of rows costs while they come at this rate."""
    return price_per_hour / 3600 / rows_per_s * 1e6


def _read(card: CardSensor, quantity: str, window: Window) -> Series | str:
    series = card.series(quantity)
    if isinstance(series, Series) and not len(series.within(window)):
        return _NO_READING
    return series


def _median(found: Found, card: CardSensor, quantity: str, key: str, window: Window) -> None:
    series = _read(card, quantity, window)
    if isinstance(series, str):
        found.miss(series, key)
    else:
        found.know(key, _middle(series.within(window)))


def _highest(found: Found, card: CardSensor, quantity: str, key: str, window: Window) -> None:
    series = _read(card, quantity, window)
    if isinstance(series, str):
        found.miss(series, key)
    else:
        found.know(key, int(series.within(window).max()))


def _middle(values: Any) -> Mapping[str, Any]:
    """Median with the 10th and 90th percentile of the readings (null below ten of them)."""
    micro = np.round(np.asarray(values) * _MICRO).astype(np.int64)
    p10, p50, p90 = (nearest_rank(micro, q) / _MICRO for q in (0.1, 0.5, 0.9))
    enough = len(micro) >= _FEWEST
    return {
        "value": p50,
        "p10": p10 if enough else None,
        "p90": p90 if enough else None,
        "n": len(micro),
    }
