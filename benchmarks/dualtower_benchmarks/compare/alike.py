"""Whether two runs can be compared at all: the same machine, bundle, device and server.

What was measured on another machine says nothing about the code. What differs in software is no
obstacle, it is often what the comparison is about; it is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.numerals import plain, words

__all__ = ["ACROSS", "Difference", "machine_differences", "row_reasons", "software_differences"]

ACROSS = ("machine", "bundle", "device", "engine")  # what `--across` lets differ
_MACHINE = (
    "cpu_model", "cpu_flags", "virtual_machine", "logical_cores", "physical_cores", "usable_cores",
    "cpu_quota_cores", "cpu_governor", "memory_total_bytes", "memory_limit_bytes", "gpu",
)  # fmt: skip
_SOFTWARE = ("system", "python_version", "git_commit")
_MEMORY_TOLERANCE = 0.02  # a kernel keeps a little more or less for itself


@dataclass(frozen=True)
class Difference:
    """A fact that is not the same on both sides."""

    fact: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return f"{words(self.fact)}: {plain(self.a)} → {plain(self.b)}"

    def as_json(self) -> dict[str, Any]:
        return {"fact": self.fact, "a": self.a, "b": self.b}


def machine_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Facts of the hardware that differ."""
    return [
        Difference(name, a.get(name), b.get(name))
        for name in _MACHINE
        if not _same(name, a.get(name), b.get(name))
    ]


def software_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Versions that differ, package by package."""
    found = [Difference(n, a.get(n), b.get(n)) for n in _SOFTWARE if a.get(n) != b.get(n)]
    old, new = (side.get("package_versions", {}) for side in (a, b))
    return found + [
        Difference(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def row_reasons(
    a: Mapping[str, Any], b: Mapping[str, Any], *, across: Collection[str]
) -> list[str]:
    """Why two rows of one key were not measured on the same thing."""
    reasons = []
    for kind, name in (("device", "device_found"), ("device", "device_name"), ("engine", "engine")):
        if kind not in across and a.get(name) != b.get(name):
            reasons.append(f"other {kind}: {a.get(name) or 'none'} → {b.get(name) or 'none'}")
    return reasons[:1]


def _same(name: str, a: Any, b: Any) -> bool:
    if name.startswith("memory") and a and b:
        return abs(a - b) <= _MEMORY_TOLERANCE * max(a, b)
    return bool(a == b)
