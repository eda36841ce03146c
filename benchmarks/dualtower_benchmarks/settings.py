"""What a benchmark run is asked to do: section [bench] of the configuration."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["ENGINES", "PARTS", "SIGNATURES", "BenchConfig"]

PARTS = ("server", "in_process", "edge")

ENGINES = ("auto", "binary", "docker", "embedded")

# the signatures that are measured; both take strings, as an application would send them
SIGNATURES = {"recommender": "serving_default", "item_tower": "serving_default"}

_QUICK_POINT_S = 0.5
_QUICK_WARMUP_S = 0.15


@dataclass(frozen=True)
class BenchConfig:
    """Settings of a run; the defaults fit into a minute on two cores.

    Args:
        seed: of the texts, the histories, the arrivals and the bootstrap.
        models: which of the served models are loaded.
        batches: rows per request.
        concurrency: closed-loop clients, each with one request in flight.
        history_texts: texts per history of the recommender.
        point_s: measured time of a closed-loop point, after its warm-up.
        warmup_s: time at the head of every point that is not measured.
        open_s: measured time of an open-loop point.
        open_load_share: its offered rate, as a share of the best closed-loop rate of that batch.
        open_attempts: how often a void open-loop point is measured; the void ones are kept.
        max_in_flight: requests an open loop keeps waiting for; more are skipped and counted.
        deadline_s: after which a request counts as DEADLINE_EXCEEDED.
        lag_floor_ms, lag_share: an open-loop point is void when the generator's own p99 lag exceeds
            both the floor and this share of the point's p99 latency.
        confidence: of every interval.
        engine: that is started where no address is given, one of ENGINES.
        edge_threads: threads of the LiteRT interpreter.
        edge_s: measured time per variant and number of threads.
        in_process_s: measured time per batch of the SavedModel without a server.
    """

    seed: int = 7
    models: tuple[str, ...] = ("recommender", "item_tower")
    batches: tuple[int, ...] = (1, 16)
    concurrency: tuple[int, ...] = (1, 2, 4)
    history_texts: int = 20
    point_s: float = 1.2
    warmup_s: float = 0.3
    open_s: float = 2.0
    open_load_share: float = 0.5
    open_attempts: int = 2
    max_in_flight: int = 256
    deadline_s: float = 10.0
    lag_floor_ms: float = 2.0
    lag_share: float = 0.1
    confidence: float = 0.95
    engine: str = "auto"
    edge_threads: tuple[int, ...] = (1, 2)
    edge_s: float = 0.5
    in_process_s: float = 1.2

    def __post_init__(self) -> None:
        for name in ("batches", "concurrency", "edge_threads"):
            values = getattr(self, name)
            if not values or min(values) < 1 or len(set(values)) != len(values):
                raise ValueError(f"{name} takes different positive integers, got {list(values)}")
        for name in ("history_texts", "max_in_flight", "open_attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("point_s", "open_s", "deadline_s", "edge_s", "in_process_s"):
            if not 0 < getattr(self, name) <= 86_400:
                raise ValueError(f"{name} must be in (0, 86400], got {getattr(self, name)}")
        for name in ("warmup_s", "lag_floor_ms", "lag_share"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("open_load_share", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not self.models or not set(self.models) <= set(SIGNATURES):
            raise ValueError(f"models takes some of {list(SIGNATURES)}, got {list(self.models)}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")

    def quick(self) -> BenchConfig:
        """The corners of the same grid, at most half a second per point; under 20 s in all."""
        return dataclasses.replace(
            self,
            batches=_ends(self.batches),
            concurrency=_ends(self.concurrency),
            edge_threads=_ends(self.edge_threads),
            point_s=min(self.point_s, _QUICK_POINT_S),
            warmup_s=min(self.warmup_s, _QUICK_WARMUP_S),
            open_s=min(self.open_s, _QUICK_POINT_S),
            open_attempts=1,
            edge_s=min(self.edge_s, _QUICK_POINT_S / 2),
            in_process_s=min(self.in_process_s, _QUICK_POINT_S),
        )


def _ends(values: tuple[int, ...]) -> tuple[int, ...]:
    return values if len(values) < 2 else (min(values), max(values))
