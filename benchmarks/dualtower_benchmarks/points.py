"""A measured point as a row of the results: rates and percentiles out of raw nanoseconds.

Every row has the same keys, so that a table or a plot can hold rows of any part of a run. `point`
is the key into the raw observations that are stored beside the results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dualtower_benchmarks.open_loop import OpenLoopRun
from dualtower_benchmarks.percentiles import Estimate, percentile
from dualtower_benchmarks.samples import Samples
from dualtower_benchmarks.settings import BenchConfig

__all__ = ["PERCENTILES", "Points", "Subject", "estimate_ms"]

PERCENTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}


@dataclass(frozen=True)
class Subject:
    """What a point measures.

    Args:
        part: "server", "in_process" or "edge".
        device: "CPU", a GPU's name, or "unknown" where the server does not say.
        variant: of an edge file, "" elsewhere.
        threads: of the runtime; None where the runtime chooses.
    """

    part: str
    model: str
    signature: str
    device: str
    batch_rows: int
    variant: str = ""
    threads: int | None = None


@dataclass
class Points:
    """The rows of a run in the order of measuring, and the raw observations behind them."""

    config: BenchConfig
    rows: list[dict[str, Any]] = field(default_factory=list)
    raw: list[Samples] = field(default_factory=list)

    def closed(self, subject: Subject, samples: Samples, *, clients: int) -> dict[str, Any]:
        """Adds and returns the row of a closed loop."""
        row = self._row(subject, samples, loop="closed") | {"concurrency": clients}
        return self._keep(row, samples)

    def open(
        self, subject: Subject, run: OpenLoopRun, *, offered_qps: float, scheduling: str = "default"
    ) -> dict[str, Any]:
        """Adds and returns the row of an open loop; a void one has a reason and no percentiles.

        Args:
            scheduling: of the generator's thread, as `priority.real_time` gives it.
        """
        void = run.void_reason(floor_ms=self.config.lag_floor_ms, share=self.config.lag_share)
        row = self._row(subject, run.samples, loop="open") | {
            "offered_qps": offered_qps,
            "skipped": run.skipped,
            "lag_p99_ms": run.lag_p99_ms(),
            "generator_scheduling": scheduling,
            "void": void,
        }
        return self._keep(row | (dict.fromkeys(PERCENTILES) if void else {}), run.samples)

    def _row(self, subject: Subject, samples: Samples, *, loop: str) -> dict[str, Any]:
        latency_ns = samples.latency_ns
        qps = len(latency_ns) / samples.elapsed_s if samples.elapsed_s else 0.0
        return {
            "part": subject.part,
            "model": subject.model,
            "signature": subject.signature,
            "variant": subject.variant,
            "device": subject.device,
            "threads": subject.threads,
            "batch_rows": subject.batch_rows,
            "loop": loop,
            "concurrency": None,
            "offered_qps": None,
            "achieved_qps": qps,
            "rows_per_s": qps * subject.batch_rows,
            **{
                name: estimate_ms(percentile(latency_ns, q, confidence=self.config.confidence))
                for name, q in PERCENTILES.items()
            },
            "n": len(latency_ns),
            "errors": samples.errors,
            "skipped": 0,
            "lag_p99_ms": None,
            "generator_scheduling": "default",
            "void": None,
            "measured_s": samples.elapsed_s,
        }

    def _keep(self, row: dict[str, Any], samples: Samples) -> dict[str, Any]:
        numbered = {"point": len(self.rows), **row}
        self.rows.append(numbered)
        self.raw.append(samples)
        return numbered


def estimate_ms(estimate: Estimate | None) -> dict[str, float] | None:
    """An estimate in nanoseconds as milliseconds with its interval."""
    if estimate is None:
        return None
    return {
        "value": estimate.value / 1e6,
        "low": estimate.low / 1e6,
        "high": estimate.high / 1e6,
    }
