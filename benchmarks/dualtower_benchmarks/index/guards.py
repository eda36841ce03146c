"""What a machine cannot do, told before it is tried: memory, disk, and a build that takes too long.

Each gives the reason why an engine is absent, or None.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtower_benchmarks.index.engines import ENGINES, Engine

__all__ = [
    "Build",
    "available_bytes",
    "build_bytes",
    "build_reason",
    "disk_bytes",
    "disk_reason",
    "install_reason",
    "memory_reason",
    "search_bytes",
]

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Build:
    """An earlier build of the same engine on a smaller catalogue; `build_s` None: it was ended."""

    items: int
    build_s: float | None


def available_bytes(memory_gb: float) -> int:
    """What processes may take: what the machine and its control group have left, or the setting."""
    import psutil

    if memory_gb:
        return int(memory_gb * 1e9)
    left = int(psutil.virtual_memory().available)
    limit, used = (
        _number(Path("/sys/fs/cgroup", name)) for name in ("memory.max", "memory.current")
    )
    return left if limit is None or used is None else min(left, limit - used)


def build_bytes(engine: str, items: int, dim: int) -> int:
    """What the process that builds takes at its peak, by the engine's figures."""
    found = ENGINES[engine]
    return _memory(found, found.build_copies, items, dim)


def search_bytes(engine: str, items: int, dim: int) -> int:
    """The same of the process that searches."""
    found = ENGINES[engine]
    return _memory(found, found.search_copies, items, dim)


def disk_bytes(engine: str, items: int, dim: int) -> int:
    """The size of its file."""
    return int(ENGINES[engine].disk_copies * items * dim * _FLOAT_BYTES)


def install_reason(engine: str) -> str | None:
    """Whether the engine is there."""
    found = ENGINES[engine]
    if importlib.util.find_spec(found.module) is not None:
        return None
    return f"{found.module} is not installed: pip install '{found.pip}'"


def memory_reason(engine: str, items: int, dim: int, available: int) -> str | None:
    """Whether build and search fit into the memory."""
    for what, needed in (
        ("a build", build_bytes(engine, items, dim)),
        ("a search", search_bytes(engine, items, dim)),
    ):
        if needed > available:
            return f"{what} takes about {_gb(needed)} of memory, there are {_gb(available)}"
    return None


def disk_reason(needed: int, free: int) -> str | None:
    """Whether the files fit on the disk."""
    if needed <= free:
        return None
    return f"its files take about {_gb(needed)} of disk, there are {_gb(free)}"


def build_reason(items: int, earlier: Sequence[Build], *, max_build_s: float) -> str | None:
    """Whether a build would be ended at the limit, by those of smaller catalogues.

    Two of them give the time of an item without what every build takes; a straight line through
    both is less than the truth for whatever takes more than a constant time an item.
    """
    smaller = sorted((one for one in earlier if one.items < items), key=lambda one: one.items)
    for one in smaller:
        if one.build_s is None:
            return f"the build of {one.items:,} items was ended at max_build_s = {max_build_s:g} s"
    if len(smaller) < 2:
        return None
    (less, less_s), (more, more_s) = (
        (one.items, float(one.build_s or 0.0)) for one in smaller[-2:]
    )
    expected_s = more_s + (items - more) * max(0.0, more_s - less_s) / (more - less)
    if expected_s <= max_build_s:
        return None
    return (
        f"a build takes at least {expected_s:,.0f} s by those of {less:,} and {more:,} items, "
        f"max_build_s is {max_build_s:g}"
    )


def _memory(engine: Engine, copies: float, items: int, dim: int) -> int:
    an_item = copies * dim * _FLOAT_BYTES + engine.item_bytes
    return int(engine.process_bytes + an_item * items)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
