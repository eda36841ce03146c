"""One point of a sweep, before it is measured: what is asked, and with which load."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.scenario.keys import key_of
from dualtower_benchmarks.scenario.subject import Subject, what

__all__ = ["Case"]

_LOAD = tuple(field.name for field in dataclasses.fields(Load))


@dataclass(frozen=True)
class Case(Subject):
    """A table [[sweep]] of a scenario. Every field can be swept, and those of the subject, too.

    Args:
        loop, arrivals, trace, concurrency, connections, max_in_flight, measured_s, warmup_s: of the
            load, see `Load`.
        rate_qps: requests a second that are due in an open loop; 0 where `rate_share` says it.
        rate_share: the same as a share of the best closed loop of the same subject in this run.
        slo_p99_ms: what the p99 should stay below; the generator may lag 5 % of it, no more.
    """

    loop: str = "open"
    arrivals: str = "poisson"
    trace: str = ""
    rate_qps: float = 0.0
    rate_share: float = 0.0
    concurrency: int = 1
    connections: int = 1
    max_in_flight: int = 1024
    measured_s: float = 10.0
    warmup_s: float = 1.0
    slo_p99_ms: float = 50.0

    def __post_init__(self) -> None:
        if self.slo_p99_ms <= 0:
            raise ValueError(f"slo_p99_ms must be positive, got {self.slo_p99_ms}")
        if not 0 <= self.rate_share <= 4:
            raise ValueError(f"rate_share must be in (0, 4], got {self.rate_share}")
        rates = bool(self.rate_qps) + bool(self.rate_share) + bool(self.trace)
        if self.loop == "open" and rates != 1 and not (self.trace and self.rate_qps):
            raise ValueError("an open loop takes one of rate_qps, rate_share and trace")
        if self.loop == "closed" and rates:
            raise ValueError("a closed loop has no rate: its clients wait for their answers")
        self.load(rate_qps=self.rate_qps or 1.0, seed=0)  # holds the rest of it
        super().__post_init__()

    @property
    def load_s(self) -> float:
        return self.warmup_s + self.measured_s

    @property
    def words(self) -> str:
        load = f"{self.concurrency} clients" if self.loop == "closed" else "open"
        return f"{what(self.subject)} batch {self.batch_rows} {load}"

    @property
    def key(self) -> str:
        """Of the fields alone, as in results from before there were other tables."""
        return key_of(self.as_json())

    def load(self, *, rate_qps: float | None, seed: int) -> Load:
        """The load to run.

        Args:
            rate_qps: of an open loop, with `rate_share` resolved; None keeps a trace as it is.
        """
        values = {name: getattr(self, name) for name in _LOAD if hasattr(self, name)}
        values |= {"trace": self.trace or None, "seed": seed}
        values["rate_qps"] = rate_qps if self.loop == "open" else None
        return Load(**values)
