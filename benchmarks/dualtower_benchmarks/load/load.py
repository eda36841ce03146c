"""One load, as it is asked for: which loop, how fast, how long. Everything else is the driver's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.load import arrivals

__all__ = ["ARRIVALS", "LOOPS", "Load"]

LOOPS = ("open", "closed")
ARRIVALS = ("poisson", "constant", "trace")


@dataclass(frozen=True)
class Load:
    """A load on one driver.

    Args:
        loop: "open", requests by a schedule; or "closed", each client waits for its answer.
        arrivals: of an open loop: "poisson", "constant", or "trace".
        rate_qps: of an open loop, requests per second; a trace is scaled to it, None keeps its own.
        trace: a text file with an arrival a line, in seconds from the start, ascending.
        concurrency: clients of a closed loop; in an open one the workers of a driver that blocks.
        connections: of an open loop's client to a server; requests take turns on them.
        max_in_flight: of an open loop; requests that are due beyond it are skipped and counted.
        measured_s: after the warm-up.
        warmup_s: the least that is left out at the head; a transient that lasts longer is found.
        at_least: requests a closed-loop client sends even if that takes longer.
        seed: of the arrivals.
    """

    loop: str = "open"
    arrivals: str = "poisson"
    rate_qps: float | None = None
    trace: str | None = None
    concurrency: int = 1
    connections: int = 1
    max_in_flight: int = 1024
    measured_s: float = 10.0
    warmup_s: float = 1.0
    at_least: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("loop", self.loop, LOOPS)
        _one_of("arrivals", self.arrivals, ARRIVALS)
        if self.loop == "open" and self.arrivals == "trace" and not self.trace:
            raise ValueError("arrivals by a trace take the file as `trace`")
        if self.loop == "open" and self.arrivals != "trace" and self.rate_qps is None:
            raise ValueError("an open loop takes a rate_qps: how many requests a second are due")
        if self.rate_qps is not None and not (self.rate_qps > 0 and math.isfinite(self.rate_qps)):
            raise ValueError(f"rate_qps must be positive and finite, got {self.rate_qps}")
        for name in ("concurrency", "connections", "max_in_flight", "at_least"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.measured_s <= 86_400:
            raise ValueError(f"measured_s must be in (0, 86400], got {self.measured_s}")
        if not 0 <= self.warmup_s <= 3_600:
            raise ValueError(f"warmup_s must be in [0, 3600], got {self.warmup_s}")

    @property
    def duration_s(self) -> float:
        """Of the whole load, its warm-up with it."""
        return self.warmup_s + self.measured_s

    def schedule_ns(self) -> npt.NDArray[np.int64]:
        """When the requests of an open loop are due: int64 offsets from its start, ascending."""
        if self.arrivals == "trace":
            assert self.trace is not None
            return arrivals.trace(Path(self.trace), self.duration_s, rate_qps=self.rate_qps)
        assert self.rate_qps is not None
        if self.arrivals == "constant":
            return arrivals.constant(self.rate_qps, self.duration_s)
        return arrivals.poisson(self.rate_qps, self.duration_s, seed=self.seed)

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Load:
        return cls(**fields)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is one of {', '.join(allowed)}, got {value!r}")
