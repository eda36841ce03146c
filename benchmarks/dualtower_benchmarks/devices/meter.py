"""Reads sensors in a thread of its own while a load runs.

    start ─ first reading ── every interval ── last reading ─ stop

The first and the last reading stand outside of the load, so that no window of it has to be
extrapolated.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dualtower_benchmarks.devices.sensors import Sensor

__all__ = ["INTERVAL_S", "DeviceMeter", "Meter"]

INTERVAL_S = 0.1


class DeviceMeter(Protocol):
    """Something to start before a load and to stop after it."""

    def start(self) -> None:
        """Takes a first reading; others follow until `stop`."""

    def stop(self) -> None:
        """Takes a last reading."""


class Meter:
    """A `DeviceMeter` of sensors; use it in a `with`.

    Args:
        clock: nanoseconds of the clock that the requests have, too.

    Example:
        with Meter([CardSensor(card)]):
            process.run(load)
    """

    def __init__(
        self,
        sensors: Sequence[Sensor],
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if interval_s <= 0:
            raise ValueError(f"interval_s must be positive, got {interval_s}")
        self.sensors = sensors
        self._interval_s, self._clock = interval_s, clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="device-meter", daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        self.read()
        self._thread.start()

    def stop(self) -> None:
        """Raises what a sensor raised in the thread."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self.read()

    def read(self) -> None:
        """One reading of every sensor."""
        for sensor in self.sensors:
            sensor.sample(self._clock())

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(self, *reason: Any) -> None:
        self.stop()

    def _work(self) -> None:
        try:
            while not self._ended.wait(self._interval_s):
                self.read()
        except BaseException as error:
            self._failure = error
