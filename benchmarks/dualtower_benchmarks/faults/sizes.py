"""How large each fault is made."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Sizes"]


@dataclass(frozen=True)
class Sizes:
    """Of a whole run.

    Attributes:
        rounds: of kills, and of all that comes in rounds.
        steady_s: before a fault, and after it.
        replica_calls: for each percentile of the replicas.
        storm_tasks: of asyncio, whose deadlines end together.
        many_calls: of each of the 24 threads.
    """

    rounds: int = 3
    steady_s: float = 0.5
    replica_calls: int = 2400
    storm_tasks: int = 200
    many_calls: int = 400

    def quick(self) -> Sizes:
        """The same faults, each as small as shows it."""
        return Sizes(rounds=1, steady_s=0.15, replica_calls=400, storm_tasks=100, many_calls=20)
