"""One run of LoadGen before it starts: what is measured, in which scenario, by which limits.

The defaults are ours and far below those of an MLPerf submission, which takes ten minutes and up to
270,336 queries: a run is valid by what was asked of it, and by LoadGen's test for early stopping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dualtower_benchmarks.scenario.subject import Subject, what

__all__ = [
    "BULK",
    "MODES",
    "MULTI_STREAM",
    "OFFLINE",
    "SCENARIOS",
    "SERVER",
    "SINGLE_STREAM",
    "MlperfCase",
]

SINGLE_STREAM, MULTI_STREAM = "SingleStream", "MultiStream"
SERVER, OFFLINE = "Server", "Offline"
SCENARIOS = (SINGLE_STREAM, MULTI_STREAM, SERVER, OFFLINE)
MODES = ("performance", "accuracy")
BULK = (SERVER, OFFLINE)  # scenarios that several clients answer at once


@dataclass(frozen=True)
class MlperfCase(Subject):
    """A table [[mlperf]] of a scenario; every key takes a value or a list of values.

    A sample is a request of `batch_rows` rows.

    Args:
        mode: performance; or accuracy, without a clock: see `accuracy`.
        scenario: SingleStream, the next query after the answer; MultiStream, the same with
            `samples_per_query` samples; Server, Poisson arrivals; Offline, all samples at once.
        target_qps: of Server the rate, of Offline the rate that is expected at most; 0 finds it by
            a closed loop beforehand.
        target_share: of that closed loop, in Server.
        target_latency_ms: of Server, for the percentile `target_percentile`.
        samples_per_query: of MultiStream.
        concurrency: requests in flight in Offline, and workers of a driver that blocks.
        connections: of Server, MultiStream and Offline to a server.
        min_duration_s, min_queries: what LoadGen demands; more of either makes a run longer.
        cosine_floor: of accuracy: what the smallest cosine to the reference must reach.
        max_duration_s: after which LoadGen gives up; 0: never. Not of Offline.
    """

    table: ClassVar[str] = "mlperf"

    mode: str = "performance"
    scenario: str = SERVER
    target_qps: float = 0.0
    target_share: float = 0.5
    target_latency_ms: float = 50.0
    target_percentile: float = 0.99
    samples_per_query: int = 8
    concurrency: int = 4
    connections: int = 1
    min_duration_s: float = 10.0
    min_queries: int = 1000
    max_duration_s: float = 0.0
    cosine_floor: float = 0.99

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise ValueError(f"scenario is one of {', '.join(SCENARIOS)}, got {self.scenario!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, got {self.mode!r}")
        for name in ("samples_per_query", "concurrency", "connections", "min_queries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("target_latency_ms", "min_duration_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("target_qps", "max_duration_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be positive, or 0, got {getattr(self, name)}")
        if 0 < self.max_duration_s < self.min_duration_s:
            raise ValueError(
                f"max_duration_s is {self.max_duration_s}, below min_duration_s "
                f"({self.min_duration_s}): no run could be valid"
            )
        if not 0 < self.target_share <= 4:
            raise ValueError(f"target_share must be in (0, 4], got {self.target_share}")
        if not 0 < self.cosine_floor <= 1:
            raise ValueError(f"cosine_floor must be in (0, 1], got {self.cosine_floor}")
        if not 0 < self.target_percentile < 1:
            raise ValueError(
                f"target_percentile must be between 0 and 1, got {self.target_percentile}"
            )
        super().__post_init__()

    @property
    def load_s(self) -> float:
        """Of LoadGen's run, at least."""
        return self.min_duration_s

    @property
    def words(self) -> str:
        return f"LoadGen {self.scenario}: {what(self.subject)}, batch {self.batch_rows}"
