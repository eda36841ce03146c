"""What one measure became from A to B: a ratio with its interval, and the chance of each direction.

All repeats count. Each is resampled by blocks of time (`stats.blocks`), the figure of a side is the
median of its repeats, and the ratio is taken of independent resamples of both sides. Where the
blocks are few, the resampled ratios are spread by Student's t over the normal quantile (Hesterberg
2015, The American Statistician 69, 371–386, "expanded").

The chances are one-sided and held against a margin, not against "no change": the largest of
`--threshold`, the noise and what the machine's own pace changed by. The share of resamples within
the margin is the chance; where none is, the normal tail beyond it, no more than one resample's
share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from dualtower_benchmarks.compare.side import Run
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.stats.block_length import block_length
from dualtower_benchmarks.stats.block_percentiles import resample
from dualtower_benchmarks.stats.blocks import Floats, Slotted
from dualtower_benchmarks.stats.percentiles import nearest_rank
from dualtower_benchmarks.stats.student import t_over_normal

__all__ = ["RESAMPLES", "Effect", "failed_effect", "percentile_effect", "rate_effect"]

RESAMPLES = 1000
FAILED_MARGIN = 0.001  # a share of failed requests may grow by so much


@dataclass(frozen=True)
class Effect:
    """A measure on both sides.

    Args:
        measure: such as p99_ms, rows_per_s or failed_share.
        a, b: its value: milliseconds, rows a second, or a share.
        change: b / a; of failed_share b − a.
        low, high: its interval.
        margin: what `change` has to be beyond, a ratio above 1; of failed_share a difference.
        p_more, p_less: chance that `change` is not above the margin, not below its inverse.
        n_a, n_b: requests behind it.
    """

    measure: str
    a: float
    b: float
    change: float
    low: float
    high: float
    margin: float
    p_more: float
    p_less: float
    n_a: int
    n_b: int


@dataclass(frozen=True)
class _Drawn:
    """A figure of one side: its value and its resamples."""

    value: float
    resamples: Floats
    blocks: int
    n: int


def percentile_effect(
    measure: str,
    q: float,
    a: Sequence[Run],
    b: Sequence[Run],
    *,
    margin: float,
    confidence: float,
    seed: int,
) -> Effect:
    """Of a latency; both sides must have samples enough for it."""

    def drawn(runs: Sequence[Run], seed: int) -> _Drawn:
        found = [
            resample(run.slotted, q, seed=seed + number, resamples=RESAMPLES)
            for number, run in enumerate(runs)
        ]
        values = [nearest_rank(run.samples.latency_ns, q) / 1e6 for run in runs]
        blocks = sum(one.blocks for one in found)
        return _side(values, [one.values / 1e6 for one in found], blocks, runs)

    return _ratio(
        measure, drawn(a, seed), drawn(b, seed + 1000), margin=margin, confidence=confidence
    )


def rate_effect(
    a: Sequence[Run], b: Sequence[Run], *, margin: float, confidence: float, seed: int
) -> Effect:
    """Of rows a second in a closed loop."""

    def drawn(runs: Sequence[Run], seed: int) -> _Drawn:
        resampled, blocks = [], 0
        for number, run in enumerate(runs):
            counts = run.slotted.counts()
            length = block_length(counts)
            weights = run.slotted.weights(
                length, RESAMPLES, np.random.default_rng([seed + number, 1])
            )
            resampled.append(weights @ counts / counts.sum() * run.row["rows_per_s"])
            blocks += math.ceil(run.slotted.slots / length)
        return _side([run.row["rows_per_s"] for run in runs], resampled, blocks, runs)

    return _ratio(
        "rows_per_s", drawn(a, seed), drawn(b, seed + 1000), margin=margin, confidence=confidence
    )


def failed_effect(
    a: Sequence[Run], b: Sequence[Run], *, confidence: float, seed: int
) -> Effect | None:
    """Of the share of requests that were due and got no answer; None where all did."""

    def drawn(runs: Sequence[Run], seed: int) -> _Drawn:
        found = [_failed(run.samples, seed + number) for number, run in enumerate(runs)]
        values = [_failed_share(run.samples) for run in runs]
        return _side(values, [one for one, _ in found], sum(blocks for _, blocks in found), runs)

    if not any(_failed_share(run.samples) for run in (*a, *b)):
        return None
    old, new = drawn(a, seed), drawn(b, seed + 1000)
    apart = _expanded(new.resamples - old.resamples, old, new, confidence)
    low, high, more, less = _judged(apart, FAILED_MARGIN, confidence)
    return Effect(
        "failed_share", old.value, new.value, new.value - old.value, low, high, FAILED_MARGIN,
        more, less, old.n, new.n,
    )  # fmt: skip


def _failed_share(samples: Samples) -> float:
    return 1.0 - len(samples.latency_ns) / len(samples)


def _failed(samples: Samples, seed: int) -> tuple[Floats, int]:
    """The share in each resample, and the number of blocks."""
    every = Slotted.of((~samples.answered).astype(np.int64), samples.due_ns)
    due = every.counts()
    failed = due - every.counts(len(samples.latency_ns))  # answered ones come first
    length = block_length(failed - failed.sum() / due.sum() * due)
    weights = every.weights(length, RESAMPLES, np.random.default_rng([seed, 2]))
    return weights @ failed / np.maximum(weights @ due, 1.0), math.ceil(every.slots / length)


def _side(
    values: Sequence[float], resampled: Sequence[Floats], blocks: int, runs: Sequence[Run]
) -> _Drawn:
    n = sum(len(run.samples.latency_ns) for run in runs)
    middle = np.asarray(np.median(np.stack(resampled), axis=0), dtype=np.float64)
    return _Drawn(float(np.median(values)), middle, blocks, n)


def _ratio(measure: str, a: _Drawn, b: _Drawn, *, margin: float, confidence: float) -> Effect:
    tiny = 1e-9  # a latency of zero has no ratio
    logs = np.log(np.maximum(b.resamples, tiny) / np.maximum(a.resamples, tiny))
    apart = _expanded(logs, a, b, confidence)
    low, high, more, less = _judged(apart, math.log(margin), confidence)
    return Effect(
        measure, a.value, b.value, max(b.value, tiny) / max(a.value, tiny),
        math.exp(low), math.exp(high), margin, more, less, a.n, b.n,
    )  # fmt: skip


def _expanded(values: Floats, a: _Drawn, b: _Drawn, confidence: float) -> Floats:
    values = values[np.isfinite(values)]
    centre = np.median(values)
    wider = t_over_normal(0.5 + confidence / 2.0, min(a.blocks, b.blocks) - 1)
    return np.asarray(centre + (values - centre) * wider)


def _judged(values: Floats, margin: float, confidence: float) -> tuple[float, float, float, float]:
    """Low, high, the chance of no more than `margin`, the chance of no less than −`margin`."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high), _chance(values - margin), _chance(-values - margin)


def _chance(above: Floats) -> float:
    """That what these are resamples of is not above zero."""
    n, reached = len(above), int(np.count_nonzero(above <= 0.0))
    if reached:
        return min(1.0, (1 + reached) / (1 + n))
    deviation = float(np.std(above))
    beyond = NormalDist().cdf(-float(np.median(above)) / deviation) if deviation else 0.0
    return min(1.0 / (1 + n), beyond)
