"""The machine of a run in a few words, for the line below a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import number

__all__ = ["hardware"]


def hardware(bench: Mapping[str, Any]) -> str:
    """CPU, cores, GPU, and the load before the run."""
    machine = bench["machine"]
    gpu = machine["gpu"]
    cores = machine["usable_cores"]
    return ", ".join(
        [
            machine["cpu_model"] or "CPU model not readable",
            f"{cores} core{'s' if cores != 1 else ''}",
            gpu if isinstance(gpu, str) else ", ".join(gpu),
            f"load before {number(machine['load_average_1_min_before'], 2)}",
        ]
    )
