"""A search for a limit before it starts: of what, under which load, for which SLO, how fine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.scenario.subject import Subject, what
from dualtower_benchmarks.stats.percentiles import minimum_samples

__all__ = ["LimitCase"]

_OF_LOAD = ("concurrency", "connections", "max_in_flight", "warmup_s")
CALIBRATION_S = 1.0  # of the closed loop that finds where to begin
CALIBRATION_WARMUP_S = 0.5
_AGAIN = 1.3  # probes for one of a search that nothing disturbs: void ones, votes, a second answer


@dataclass(frozen=True)
class LimitCase(Subject):
    """A table [[limit]] of a scenario; every key takes a value or a list of values.

    Args:
        arrivals: poisson or constant.
        concurrency: clients of the closed loop that finds where to begin, and workers of a driver
            that blocks.
        connections, max_in_flight: of the open loops, as in `Load`.
        slo_ms: what the percentile `slo_percentile` may take at most.
        max_error_share: of the requests due, failed and skipped ones together.
        low_qps, high_qps: rates between which is searched; 0 leaves an end open.
        resolution: where the search ends: the lowest rate that broke is so much above the highest
            that held, as a share.
        probe_s, warmup_s: of a probe, and what is left out at its head at least. A rate at which
            the percentile has too few samples in `probe_s` is probed longer.
        longest_probe_s: rates that would need more are not tried.
        votes: probes of a rate, of which the majority decides; odd.
        most_probes: after which the search ends as it is.
    """

    table: ClassVar[str] = "limit"

    arrivals: str = "poisson"
    concurrency: int = 8
    connections: int = 1
    max_in_flight: int = 1024
    slo_ms: float = 50.0
    slo_percentile: float = 0.99
    max_error_share: float = 0.0
    low_qps: float = 0.0
    high_qps: float = 0.0
    resolution: float = 0.05
    probe_s: float = 5.0
    warmup_s: float = 0.5
    longest_probe_s: float = 30.0
    votes: int = 3
    most_probes: int = 40

    def __post_init__(self) -> None:
        if self.arrivals not in ("poisson", "constant"):
            raise ValueError(f"arrivals is poisson or constant, got {self.arrivals!r}")
        if self.slo_ms <= 0:
            raise ValueError(f"slo_ms must be positive, got {self.slo_ms}")
        if not 0 < self.slo_percentile < 1:
            raise ValueError(f"slo_percentile must be between 0 and 1, got {self.slo_percentile}")
        if not 0 <= self.max_error_share < 1:
            raise ValueError(f"max_error_share must be in [0, 1), got {self.max_error_share}")
        if not 0.001 <= self.resolution <= 1:
            raise ValueError(f"resolution must be in [0.001, 1], got {self.resolution}")
        if self.votes < 1 or self.votes % 2 == 0:
            raise ValueError(f"votes must be odd, so that a majority exists, got {self.votes}")
        if self.most_probes < self.votes + 1:
            raise ValueError(
                f"most_probes must be above votes ({self.votes}), got {self.most_probes}"
            )
        for name in ("low_qps", "high_qps"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be positive, or 0, got {value}")
        if self.high_qps and self.low_qps > self.high_qps:
            raise ValueError(f"low_qps is {self.low_qps}, above high_qps ({self.high_qps})")
        if self.longest_probe_s < self.probe_s:
            raise ValueError(
                f"longest_probe_s is {self.longest_probe_s}, below probe_s ({self.probe_s})"
            )
        self.load(1.0, measured_s=self.probe_s, seed=0)  # holds the rest of it
        super().__post_init__()

    @property
    def load_s(self) -> float:
        """Of a usual search: a closed loop, the bracket, the halvings, each with its votes."""
        halvings = math.ceil(math.log2(max(1.0, math.log(2.0) / math.log1p(self.resolution))))
        undisturbed = (2 + halvings) * (self.votes // 2 + 1) + 1
        probes = min(self.most_probes, round(_AGAIN * undisturbed))
        closed_s = 0.0 if self.low_qps and self.high_qps else CALIBRATION_S + CALIBRATION_WARMUP_S
        return closed_s + probes * (self.warmup_s + self.probe_s)

    @property
    def words(self) -> str:
        return (
            f"limit: {what(self.subject)}, batch {self.batch_rows}, "
            f"p{100 * self.slo_percentile:g} within {self.slo_ms:g} ms"
        )

    def closed(self, *, seed: int) -> Load:
        """The closed loop that finds where to begin."""
        return Load(
            loop="closed",
            concurrency=self.concurrency,
            measured_s=CALIBRATION_S,
            warmup_s=CALIBRATION_WARMUP_S,
            seed=seed,
        )

    def load(self, rate_qps: float, *, measured_s: float, seed: int) -> Load:
        """A probe's."""
        values = {name: getattr(self, name) for name in _OF_LOAD}
        return Load(
            loop="open",
            arrivals=self.arrivals,
            rate_qps=rate_qps,
            measured_s=measured_s,
            seed=seed,
            **values,
        )

    def needed_s(self, rate_qps: float, *, confidence: float) -> float:
        """Seconds of a probe: what its percentile takes at the rate, and never below `probe_s`."""
        return max(self.probe_s, self._samples(confidence) / rate_qps)

    def lowest_qps(self, *, confidence: float) -> float:
        """The lowest rate whose percentile has its samples within `longest_probe_s`."""
        return max(self.low_qps, self._samples(confidence) / self.longest_probe_s)

    def _samples(self, confidence: float) -> float:
        """Requests to expect, with room for a Poisson count that comes out low (4 standard
        deviations) and for a head that is left out as a transient (a third, at most).
        """
        least = minimum_samples(self.slo_percentile, confidence=confidence)
        return 1.5 * (least + 4.0 * math.sqrt(least))
