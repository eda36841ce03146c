"""When the requests of an open loop are due: offsets from the start, in nanoseconds.

A schedule is made before the load begins and does not depend on any answer; that is what makes a
loop open.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dualtower.errors import UsageError

__all__ = ["constant", "poisson", "trace"]


def poisson(rate_qps: float, duration_s: float, *, seed: int) -> npt.NDArray[np.int64]:
    """Arrivals of a Poisson process within `duration_s`: int64 offsets, ascending.

    Args:
        rate_qps: expected arrivals per second; their number is itself random.
    """
    _check(rate_qps, duration_s)
    generator = np.random.default_rng(seed)
    expected = rate_qps * duration_s
    chunk = math.ceil(expected + 6.0 * math.sqrt(expected) + 16.0)
    offsets_s = np.cumsum(generator.exponential(1.0 / rate_qps, size=chunk))
    while offsets_s[-1] < duration_s:  # a rare short draw: go on where it ended
        more = np.cumsum(generator.exponential(1.0 / rate_qps, size=chunk))
        offsets_s = np.concatenate([offsets_s, offsets_s[-1] + more])
    return (offsets_s[offsets_s < duration_s] * 1e9).astype(np.int64)


def constant(rate_qps: float, duration_s: float) -> npt.NDArray[np.int64]:
    """Arrivals at even distances within `duration_s`, the first at 0: int64 offsets, ascending."""
    _check(rate_qps, duration_s)
    count = math.ceil(rate_qps * duration_s)
    return (np.arange(count) * (1e9 / rate_qps)).astype(np.int64)


def trace(path: Path, duration_s: float, *, rate_qps: float | None = None) -> npt.NDArray[np.int64]:
    """Recorded arrivals within `duration_s`: int64 offsets, ascending, the first at 0.

    A trace that is shorter begins anew, a mean gap after its end.

    Args:
        path: a line per arrival, in seconds on any clock, ascending; "#" begins a comment.
        rate_qps: the trace is stretched to this mean rate; None leaves it as it was recorded.

    Raises:
        UsageError: the file cannot be read, holds no two arrivals, or they are not ascending.
    """
    _check(rate_qps if rate_qps is not None else 1.0, duration_s)
    try:
        recorded = np.loadtxt(path, dtype=np.float64, ndmin=1, comments="#", encoding="utf-8")
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the trace {path} cannot be read ({error}); it has a time in seconds a line"
        ) from error
    gaps = np.diff(recorded) if recorded.ndim == 1 else np.zeros(0)
    if not len(gaps) or not np.isfinite(recorded).all() or (gaps < 0).any():
        raise UsageError(f"the trace {path} needs at least two arrivals in ascending order")
    offsets = recorded - recorded[0]
    if not offsets[-1]:
        raise UsageError(f"all arrivals of the trace {path} are at one instant")
    gap = offsets[-1] / len(gaps)
    stretch = 1.0 if rate_qps is None else 1.0 / (rate_qps * gap)
    period = (offsets[-1] + gap) * stretch
    rounds = math.ceil(duration_s / period)
    repeated = (offsets * stretch)[None, :] + (np.arange(rounds) * period)[:, None]
    all_s = repeated.reshape(-1)
    return (all_s[all_s < duration_s] * 1e9).astype(np.int64)


def _check(rate_qps: float, duration_s: float) -> None:
    if not (rate_qps > 0 and math.isfinite(rate_qps)):
        raise ValueError(f"a rate is a positive number of requests per second, got {rate_qps}")
    if not (duration_s > 0 and math.isfinite(duration_s)):
        raise ValueError(f"a duration is a positive number of seconds, got {duration_s}")
