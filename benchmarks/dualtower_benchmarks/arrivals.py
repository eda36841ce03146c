"""When the requests of an open loop are due: offsets from the start, in nanoseconds.

A schedule is made before the load begins and does not depend on any answer; that is what makes a
loop open.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["constant", "poisson"]


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


def _check(rate_qps: float, duration_s: float) -> None:
    if not (rate_qps > 0 and math.isfinite(rate_qps)):
        raise ValueError(f"a rate is a positive number of requests per second, got {rate_qps}")
    if not (duration_s > 0 and math.isfinite(duration_s)):
        raise ValueError(f"a duration is a positive number of seconds, got {duration_s}")
