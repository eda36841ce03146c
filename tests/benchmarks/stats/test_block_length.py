"""The rule for the length of a block, against the closed form of an AR(1) process."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from dualtower_benchmarks.stats.block_length import _autocovariances, block_length


def ar1(phi: float, n: int, seed: int) -> np.ndarray:
    return lfilter([1.0], [1.0, -phi], np.random.default_rng(seed).normal(size=n + 500))[500:]


@pytest.mark.parametrize(("phi", "n"), [(0.3, 4000), (0.6, 4000), (0.8, 4000)])
def test_length_of_an_ar1_process_is_that_of_the_theory(phi: float, n: int) -> None:
    # Σ|k|R(k) / ΣR(k) of an AR(1) process is 2φ/(1 − φ²)
    theory = (1.5 * (2 * phi / (1 - phi**2)) ** 2 * n) ** (1 / 3)
    found = np.median([block_length(ar1(phi, n, seed)) for seed in range(21)])
    assert found == pytest.approx(theory, rel=0.25)


def test_white_noise_needs_no_blocks() -> None:
    found = [block_length(np.random.default_rng(s).normal(size=1000)) for s in range(41)]
    assert np.median(found) <= 4


@pytest.mark.parametrize("series", [np.zeros(0), np.ones(5), np.ones(500), np.full(500, 0.1)])
def test_nothing_to_tell_from_is_a_block_of_one(series: np.ndarray) -> None:
    assert block_length(series) == 1


def test_longest_block_is_a_third() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=60))
    assert block_length(walk) <= 20


def test_autocovariances_are_those_of_the_definition() -> None:
    series = np.random.default_rng(2).normal(size=100)
    centred = series - series.mean()
    plain = [(centred[: 100 - k] * centred[k:]).sum() / 100 for k in range(100)]
    assert _autocovariances(series) == pytest.approx(plain)
