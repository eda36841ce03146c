"""Drivers by name. A module is imported when its driver is opened: it may need an extra."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.drivers.driver import Driver

__all__ = ["DRIVERS", "open_driver"]

# name: module with a function `open(job) -> Driver`
DRIVERS = {
    name: f"dualtower_benchmarks.drivers.{name}_driver"
    for name in (
        "grpc",
        "rest",
        "clients",
        "saved_model",
        "litert",
        "onnxruntime",
        "sentence_transformers",
        "index",
    )
}


def open_driver(job: Mapping[str, Any]) -> Driver:
    """The driver that `job["driver"]` names, opened with the rest of the job.

    Raises:
        UsageError: no such driver.
        DualtowerError: it cannot be opened here, with what to do.
    """
    name = job["driver"]
    if name not in DRIVERS:
        raise UsageError(f"driver is one of {', '.join(DRIVERS)}, got {name!r}")
    driver: Driver = importlib.import_module(DRIVERS[name]).open(job)
    return driver
