"""Latencies whose true percentiles are known, though one depends on the next."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter

Ints = npt.NDArray[np.int64]
Process = Callable[[np.random.Generator, int], tuple[Ints, Ints]]
_UNIT_NS = 1e6  # a mean service


@pytest.fixture(scope="session")
def queue() -> Callable[[float], tuple[Process, Callable[[float], float]]]:
    """M/M/1 at a load: how to draw (latencies, due instants), and its true percentiles."""

    def of(load: float) -> tuple[Process, Callable[[float], float]]:
        def draw(generator: np.random.Generator, n: int) -> tuple[Ints, Ints]:
            warm = 2000
            between = generator.exponential(1 / load, n + warm)
            service = generator.exponential(1.0, n + warm)
            # Lindley's recursion, unrolled: the walk above its own minimum
            walk = np.cumsum(np.concatenate([[0.0], service[:-1] - between[1:]]))
            waiting = walk - np.minimum(np.minimum.accumulate(walk), 0.0)
            due = np.cumsum(between)[warm:]
            latency = (waiting + service)[warm:]
            return (latency * _UNIT_NS).astype(np.int64), ((due - due[0]) * _UNIT_NS).astype(
                np.int64
            )

        # the time in an M/M/1 system is exponential with rate 1 − load
        return draw, lambda q: -np.log(1 - q) / (1 - load) * _UNIT_NS

    return of


@pytest.fixture(scope="session")
def autoregressive() -> Callable[..., tuple[Process, Callable[[float], float]]]:
    """Lognormal latencies at even distances, whose logarithms are an AR(1) process."""

    def of(phi: float, deviation: float = 0.3) -> tuple[Process, Callable[[float], float]]:
        def draw(generator: np.random.Generator, n: int) -> tuple[Ints, Ints]:
            shocks = generator.normal(size=n) * np.sqrt(1 - phi**2)
            shocks[0] = generator.normal()
            logs = deviation * lfilter([1.0], [1.0, -phi], shocks)
            due = (np.arange(n) * _UNIT_NS).astype(np.int64)
            return (np.exp(logs) * _UNIT_NS).astype(np.int64), due

        return draw, lambda q: float(np.exp(deviation * NormalDist().inv_cdf(q))) * _UNIT_NS

    return of
