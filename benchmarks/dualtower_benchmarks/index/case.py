"""One point of the curve before it is measured: a catalogue, an engine and its effort."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.index.engines import ENGINES, EXACT, LISTS, Engine
from dualtower_benchmarks.scenario.keys import key_of

__all__ = ["IndexCase"]


@dataclass(frozen=True)
class IndexCase:
    """A table [[index]] of a scenario; every key takes a value or a list of values.

    Args:
        items: of the made-up catalogue, see `catalogue`.
        dim: numbers of taste, which all engines multiply.
        k: length of the lists that are found.
        engine: one of `engines.ENGINES`.
        effort: of lists how many are read (nprobe), of a graph how many candidates a search keeps
            (ef); 0 of what is exact.
        lists: of an inverted file; 0 takes twice the root of the items.
        connectivity, expansion_add: of a graph, M and efConstruction.
        batch: users of a call.
        threads: of a search. A build has all usable cores.
        users: people who are asked for, and over whom the recall is taken.
        rounds, round_s: turns of the engine, and seconds of each; one call at least.
        max_build_s: after which a build is ended and the engine is absent.
        memory_gb: that a process may take, 10⁹ bytes; 0: what the machine has left.
    """

    items: int = 100_000
    dim: int = 64
    k: int = 100
    engine: str = "recommender_float32"
    effort: int = 0
    lists: int = 0
    connectivity: int = 16
    expansion_add: int = 128
    batch: int = 1
    threads: int = 1
    users: int = 256
    rounds: int = 5
    round_s: float = 0.5
    max_build_s: float = 600.0
    memory_gb: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "items", "dim", "k", "connectivity", "expansion_add", "batch", "threads", "users",
            "rounds",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("round_s", "max_build_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.memory_gb < 0:
            raise ValueError(f"memory_gb must be positive, or 0, got {self.memory_gb}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine is one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.k >= self.items:
            raise ValueError(f"k must be below the {self.items} items, got {self.k}")
        if self.batch > self.users:
            raise ValueError(f"a batch of {self.batch} is more than {self.users} users")
        if not 0 <= self.lists <= self.items:
            raise ValueError(f"lists must lie in 0..{self.items}, got {self.lists}")
        self._hold_effort()

    def _hold_effort(self) -> None:
        kind = self.kind
        if kind == EXACT and self.effort:
            raise ValueError(f"{self.engine} is exact and has no effort, got {self.effort}")
        if kind != EXACT and self.effort < 1:
            raise ValueError(f"{self.engine} needs an effort of at least 1, got {self.effort}")
        if kind == LISTS and self.effort > self.number_of_lists:
            raise ValueError(
                f"effort must not exceed the {self.number_of_lists} lists, got {self.effort}"
            )

    @property
    def _engine(self) -> Engine:
        return ENGINES[self.engine]

    @property
    def kind(self) -> str:
        return self._engine.kind

    @property
    def module(self) -> str:
        """What its processes import."""
        return self._engine.module

    @property
    def number_of_lists(self) -> int:
        return self.lists or max(1, round(2 * self.items**0.5))

    @property
    def data(self) -> tuple[int, int, int]:
        """Cases with equal ones share a catalogue."""
        return (self.items, self.dim, self.users)

    @property
    def build(self) -> dict[str, Any]:
        """What the built index depends on, beside its catalogue."""
        found: dict[str, Any] = {"engine": self.engine, "k": self.k}
        if self.kind == LISTS:
            found |= {"lists": self.number_of_lists}
        elif self.kind != EXACT:
            found |= {"connectivity": self.connectivity, "expansion_add": self.expansion_add}
        return found

    @property
    def build_name(self) -> str:
        """Of its file."""
        return "-".join(str(value) for value in self.build.values())

    @property
    def recipe(self) -> tuple[Any, ...]:
        """Equal for catalogues of other sizes: what their build times can be compared by."""
        return (self.engine, self.dim, self.connectivity, self.expansion_add)

    @property
    def load_s(self) -> float:
        """Of its turns."""
        return self.rounds * self.round_s

    @property
    def words(self) -> str:
        effort = f", effort {self.effort}" if self.effort else ""
        return f"{self._engine.words}, {self.items:,} items{effort}, batch {self.batch}"

    @property
    def key(self) -> str:
        """Equal cases have equal keys in every run, and no key is one of another table's."""
        return key_of(["index", self.as_json()])

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
