"""One measurement of the client before it starts: how much the codec takes, and how often."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.scenario.keys import key_of

__all__ = ["ClientCase"]

_CALL_S, _START_S = 0.001, 6.0  # of the codec's cases together, and of the three imports


@dataclass(frozen=True)
class ClientCase:
    """A table [[client]] of a scenario; every key takes a value or a list of values.

    Args:
        rows: of the array of float32.
        dim: its other dimension.
        strings: of the list of strings.
        rounds: turns of each side.
        calls: in a turn.
        starts: interpreters of each kind.
    """

    rows: int = 1024
    dim: int = 384
    strings: int = 1000
    rounds: int = 9
    calls: int = 40
    starts: int = 7

    def __post_init__(self) -> None:
        for name, value in self.as_json().items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def load_s(self) -> float:
        """Of its turns and starts, roughly."""
        return 24 * self.rounds * self.calls * _CALL_S + self.starts * _START_S

    @property
    def words(self) -> str:
        return f"client, float32 [{self.rows}, {self.dim}] and {self.strings:,} strings"

    @property
    def key(self) -> str:
        """Equal cases have equal keys in every run, and no key is one of another table's."""
        return key_of(["client", self.as_json()])

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
