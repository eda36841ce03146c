"""The thread that reads: it reads before and after, and what a sensor raises is not lost."""

from __future__ import annotations

import importlib
import inspect
import os
import threading

import pytest

from dualtower_benchmarks.devices.here import Devices
from dualtower_benchmarks.devices.meter import Meter
from dualtower_benchmarks.devices.scripted_nvml import ScriptedCard, ScriptedClock, ScriptedNvml


class Counting:
    """A sensor that knows when it was read, and that a load waited for."""

    def __init__(self) -> None:
        self.at_ns: list[int] = []
        self.third = threading.Event()

    def sample(self, at_ns: int) -> None:
        self.at_ns.append(at_ns)
        if len(self.at_ns) == 3:
            self.third.set()


def test_it_reads_before_the_load_during_it_and_after_it() -> None:
    sensor = Counting()
    with Meter([sensor], interval_s=0.001):
        assert len(sensor.at_ns) >= 1
        assert sensor.third.wait(30)
        during = len(sensor.at_ns)
    assert len(sensor.at_ns) > during
    assert sensor.at_ns == sorted(sensor.at_ns)
    assert threading.current_thread() is threading.main_thread()


def test_what_a_sensor_raises_in_the_thread_is_raised_at_the_end() -> None:
    class Broken(Counting):
        def sample(self, at_ns: int) -> None:
            super().sample(at_ns)
            if len(self.at_ns) == 3:
                raise RuntimeError("broken")

    sensor = Broken()
    meter = Meter([sensor], interval_s=0.001)
    meter.start()
    assert sensor.third.wait(30)
    with pytest.raises(RuntimeError, match="broken"):
        meter.stop()


def test_a_watch_on_this_machine_reads_and_ends() -> None:
    clock = ScriptedClock()
    devices = Devices.of_this_machine(nvml=ScriptedNvml([ScriptedCard()], clock))
    before = threading.active_count()
    with devices.watch(server_pid=None, generator_pid=os.getpid()) as watched:
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert watched.generator is not None
    assert len(watched.generator.series().values) >= 2


def test_an_interval_is_positive() -> None:
    with pytest.raises(ValueError, match="interval_s must be positive, got 0"):
        Meter([], interval_s=0)


def test_the_double_has_the_functions_of_the_bindings() -> None:
    """Where nvidia-ml-py is installed: names and parameters are those of the real module."""
    pynvml = pytest.importorskip("pynvml")
    doubled = [name for name in vars(ScriptedNvml) if name.startswith("nvml")]
    assert len(doubled) > 10
    for name in doubled:
        given = len(inspect.signature(getattr(ScriptedNvml, name)).parameters) - 1
        inspect.signature(getattr(pynvml, name)).bind(*range(given))  # raises where it cannot be


def test_the_numbers_of_the_bindings_are_ours() -> None:
    pynvml = pytest.importorskip("pynvml")
    nvml = importlib.import_module("dualtower_benchmarks.devices.nvml")
    assert pynvml.NVML_CLOCK_SM == nvml._CLOCK_SM
    assert pynvml.NVML_TEMPERATURE_GPU == nvml._CORE_SENSOR
    assert pynvml.NVML_DEVICE_MIG_ENABLE == nvml._MIG_ON
    assert pynvml.nvmlClocksEventReasonSwPowerCap in nvml.THROTTLES
    errors = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_NOT_SUPPORTED)
    names = [type(pynvml.NVMLError(code)).__name__ for code in errors]
    assert names[0] in nvml._LOST
    assert names[1] in nvml._WORDS
