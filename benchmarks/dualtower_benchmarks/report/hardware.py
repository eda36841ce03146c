"""The machine of a run in a few words, for the line below a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.machine import cpu_words
from dualtower_benchmarks.numerals import number

__all__ = ["hardware", "load_words", "machine_words"]


def hardware(bench: Mapping[str, Any]) -> str:
    """CPU, cores, GPU, and the load before the run."""
    return f"{machine_words(bench)}, load before {load_words([bench])}"


def machine_words(bench: Mapping[str, Any]) -> str:
    """CPU, cores and GPU: what several runs of one machine share."""
    machine = bench["machine"]
    gpu = machine["gpu"]
    cores = machine["usable_cores"]
    return ", ".join(
        [
            cpu_words(machine),
            f"{cores} core{'s' if cores != 1 else ''}",
            gpu if isinstance(gpu, str) else ", ".join(gpu),
        ]
    )


def load_words(benches: Sequence[Mapping[str, Any]]) -> str:
    """The load before each run, from the smallest to the largest."""
    loads = [one["machine"]["load_average_1_min_before"] for one in benches]
    low, high = (number(end(loads), 2) for end in (min, max))
    return low if low == high else f"{low} to {high}"
