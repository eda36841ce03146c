"""LoadGen and our open loop on a server whose latencies are known, and what a closed loop shows.

    LoadGen, Server ──► its schedule ──┬─► ours, the same arrivals
                                       └─► the truth of these arrivals, by recursion
    ours, its own Poisson arrivals at the same rate ──► the truth of those
    a closed loop, one client

Latency counts from the scheduled instant. A generator sends at that instant or later, and a server
that takes requests in their order can only answer later for it: no latency is below the truth, and
none above it by more than the latest send and the latest answer, which the server saw (`late_ms`).
Own arrivals are others than LoadGen's, so there percentiles agree within intervals, by blocks of
time on both sides.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.load.arrivals import poisson
from dualtower_benchmarks.load.closed_loop import run_closed_loop
from dualtower_benchmarks.load.open_loop import run_open_loop
from dualtower_benchmarks.load.priority import real_time
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.mlperf.case import SERVER, MlperfCase
from dualtower_benchmarks.mlperf.logs import Outcome, read_outcome, read_trace
from dualtower_benchmarks.mlperf.stalling import StallingDriver, Stalls, departures_ns
from dualtower_benchmarks.mlperf.start import run_loadgen
from dualtower_benchmarks.stats.block_percentiles import block_percentiles
from dualtower_benchmarks.stats.blocks import Slotted
from dualtower_benchmarks.stats.percentiles import minimum_samples, nearest_rank

__all__ = [
    "PERCENTILES",
    "Agreement",
    "Seen",
    "agreement",
    "agreement_as_json",
    "difference_ms",
]

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True)
class Seen:
    """What one generator saw of the server, in the order of arrival.

    Args:
        samples: by due instant.
        truth_ns: int64 [n] what the latencies are by the recursion on the same due instants.
        late_ms: the latest send and the latest answer together.
    """

    samples: Samples
    truth_ns: npt.NDArray[np.int64]
    late_ms: float

    @property
    def latency_ns(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.samples.done_ns - self.samples.due_ns, dtype=np.int64)


@dataclass(frozen=True)
class Agreement:
    """The three open runs and the closed one.

    Args:
        outcome: of LoadGen, with its own percentiles.
    """

    loadgen: Seen
    outcome: Outcome
    same_arrivals: Seen
    own_arrivals: Seen
    closed: Samples


def agreement(
    stalls: Stalls, *, rate_qps: float, duration_s: float, closed_s: float, seed: int
) -> Agreement:
    """Runs the four one after the other, each on a fresh server.

    Raises:
        NotHere: LoadGen is not installed.
    """
    with StallingDriver(stalls) as driver, tempfile.TemporaryDirectory() as folder:
        case = MlperfCase(
            scenario=SERVER,
            target_qps=rate_qps,
            min_duration_s=duration_s,
            min_queries=1,
            concurrency=1,
        )
        run_loadgen(driver, case, Path(folder), seed=seed, trace=True)
        outcome, traced = read_outcome(Path(folder)), read_trace(Path(folder))
        by_loadgen = _seen(traced, driver, stalls)
    begins_ns = by_loadgen.samples.due_ns - by_loadgen.samples.due_ns[0]
    same = _ours(stalls, begins_ns)
    own = _ours(stalls, poisson(rate_qps, duration_s, seed=seed))
    with StallingDriver(stalls) as driver:
        closed = run_closed_loop([driver], duration_s=closed_s)
    return Agreement(by_loadgen, outcome, same, own, closed)


def difference_ms(
    left: Seen, right: Seen, q: float, *, seed: int, confidence: float
) -> tuple[float, float, float] | None:
    """Of a percentile, right minus left: the value and its two-sample interval.

    Each side has its interval by blocks of time (`stats.block_percentiles`), out of resamples and
    as wide as few stalls make it; the distances to the ends that face each other add up as those of
    independent samples do (Zou and Donner 2008, Statistics in Medicine 27, 1693–1702).
    None where either side has too few requests for the percentile.
    """
    slotted = (Slotted.of(seen.latency_ns, seen.samples.due_ns) for seen in (left, right))
    (one,), (two,) = (
        block_percentiles(side, [q], seed=seed, confidence=confidence) for side in slotted
    )
    if one is None or two is None:
        return None
    value = two.value - one.value
    low = value - math.hypot(two.value - two.low, one.high - one.value)
    high = value + math.hypot(two.high - two.value, one.value - one.low)
    return value / 1e6, low / 1e6, high / 1e6


def _ours(stalls: Stalls, schedule_ns: npt.NDArray[np.int64]) -> Seen:
    with StallingDriver(stalls) as driver:
        driver.check()
        with real_time():
            samples = run_open_loop(driver, schedule_ns, max_in_flight=len(schedule_ns))
        return _seen(samples, driver, stalls)


def _seen(samples: Samples, driver: StallingDriver, stalls: Stalls) -> Seen:
    order = np.argsort(samples.due_ns, kind="stable")
    due, sent, done = samples.due_ns[order], samples.sent_ns[order], samples.done_ns[order]
    came, left, answered = driver.visits().T
    # the generator's clock may begin elsewhere; no request came before it was sent
    offset_ns = int((came - sent).min())
    sending_ns = int((came - offset_ns - due).max())
    answering_ns = int((answered - left).max()) + int((done + offset_ns - answered).max())
    truth_ns = departures_ns(due, stalls.service_ns(len(due))) - due
    late_ms = (sending_ns + max(answering_ns, 0)) / 1e6
    return Seen(Samples(due, sent, done, samples.status[order]), truth_ns, late_ms)


def agreement_as_json(found: Agreement, *, seed: int, confidence: float = 0.95) -> dict[str, Any]:
    """The generators and how far ours lies from LoadGen, see `dualtower bench schema`.

    Returns:
        `generators`: of each its percentiles and, where it is an open loop, those of the truth;
        `differences`: of ours minus LoadGen's, with their intervals. A percentile is None, and a
        difference left out, where the requests are too few for it.
    """
    seen = {
        "LoadGen, Server": found.loadgen,
        "ours, its arrivals": found.same_arrivals,
        "ours, own arrivals": found.own_arrivals,
    }
    closed = found.closed.latency_ns
    generators: list[dict[str, Any]] = [
        {
            "name": name,
            "latency_ms": _levels_ms(one.latency_ns),
            "truth_ms": _levels_ms(one.truth_ns),
            "late_ms": one.late_ms,
            "n": len(one.samples),
        }
        for name, one in seen.items()
    ]
    generators.append(
        {
            "name": "a closed loop",
            "latency_ms": _levels_ms(closed),
            "truth_ms": None,
            "late_ms": None,
            "n": len(closed),
        }
    )
    differences = []
    for name, one in list(seen.items())[1:]:
        for percentile, q in PERCENTILES.items():
            apart = difference_ms(found.loadgen, one, q, seed=seed, confidence=confidence)
            if apart is not None:
                keys = ("value_ms", "low_ms", "high_ms")
                differences.append(
                    {"name": name, "percentile": percentile, **dict(zip(keys, apart, strict=True))}
                )
    return {"generators": generators, "differences": differences}


def _levels_ms(latency_ns: npt.NDArray[np.int64]) -> dict[str, float | None]:
    return {
        name: nearest_rank(latency_ns, q) / 1e6 if len(latency_ns) >= minimum_samples(q) else None
        for name, q in PERCENTILES.items()
    }
