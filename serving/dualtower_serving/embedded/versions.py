"""Which versions lie under a base path, and which of them a policy wants."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dualtower_clients.proto import management_pb2

__all__ = ["VersionPolicy", "choose", "on_disk", "policy_of"]

_INTEGER = re.compile(r"\+?[0-9]+", re.ASCII)
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class VersionPolicy:
    """`latest` with a count, `all`, or `specific` with its versions."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()


def policy_of(proto: management_pb2.ServableVersionPolicy) -> VersionPolicy:
    """The policy of a model's configuration; unset means the latest version."""
    kind = proto.WhichOneof("policy_choice")
    if kind == "all":
        return VersionPolicy("all")
    if kind == "specific":
        return VersionPolicy("specific", versions=frozenset(proto.specific.versions))
    return VersionPolicy("latest", count=max(1, proto.latest.num_versions))


def on_disk(base_path: str) -> dict[int, str]:
    """`{version: path}` of the children of `base_path` whose names are integers.

    Raises:
        OSError: the folder cannot be listed.
    """
    found: dict[int, str] = {}
    for name in sorted(os.listdir(base_path)):
        if _INTEGER.fullmatch(name) and int(name) <= _INT64_MAX:
            found.setdefault(int(name), os.path.join(base_path, name))
    return found


def choose(policy: VersionPolicy, found: Mapping[int, str]) -> dict[int, str]:
    """The versions that should be served, of those that were found."""
    if policy.kind == "all":
        return dict(found)
    if policy.kind == "specific":
        return {version: path for version, path in found.items() if version in policy.versions}
    return {version: found[version] for version in sorted(found)[-policy.count :]}
