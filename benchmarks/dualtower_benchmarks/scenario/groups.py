"""Cases that share a server, a process or a subject stand together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

__all__ = ["groups_by"]

C = TypeVar("C")


def groups_by(cases: Iterable[C], key: Callable[[C], Hashable]) -> list[list[C]]:
    """The cases by equal keys, groups and cases in the order of their first appearance."""
    groups: dict[Hashable, list[C]] = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    return list(groups.values())
