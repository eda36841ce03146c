"""Ops and attributes that a stock TensorFlow Serving of some version runs.

An allow-list, because an op that a server lacks is noticed only when it loads the model. The lists
are data, `server_ops/VERSION.txt`; `op_registry.py` says how they were made. An attribute counts as
well: TensorFlow leaves out those that have their default, so that one which is left in a file and
which a server does not know stops it from loading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

__all__ = [
    "SERVERS",
    "TARGET",
    "fitting_servers",
    "foreign_attributes",
    "foreign_ops",
    "server_ops",
]

SERVERS = ("2.20.0", "2.21.0")
TARGET = "2.21.0"


@cache
def server_ops(version: str) -> Mapping[str, frozenset[str]]:
    """`{op: attributes}` of one of SERVERS."""
    text = resources.files(__package__).joinpath("server_ops", f"{version}.txt").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {name: frozenset(attributes) for name, *attributes in lines}


def foreign_ops(ops: Iterable[str], version: str = TARGET) -> list[str]:
    """Those of `ops` that a stock server of a version may not have."""
    return sorted(set(ops) - server_ops(version).keys())


def foreign_attributes(attributes: Mapping[str, Iterable[str]], version: str = TARGET) -> list[str]:
    """`Op.attribute` of what a server's op does not know; its private ones (`_name`) are free."""
    known = server_ops(version)
    return sorted(
        f"{op}.{name}"
        for op, names in attributes.items()
        for name in names
        if op in known and not name.startswith("_") and name not in known[op]
    )


def fitting_servers(attributes: Mapping[str, Iterable[str]]) -> list[str]:
    """Those of SERVERS that have all of these ops and attributes."""
    return [
        version
        for version in SERVERS
        if not foreign_ops(attributes, version) and not foreign_attributes(attributes, version)
    ]
