"""How long a block must be so that resampled blocks are as dependent inside as the data are.

The rule of Politis and White (2004, Econometric Reviews 23, 53–70), corrected by Patton, Politis
and White (2009, ibid. 28, 372–375), for the circular block bootstrap: it balances the bias of short
blocks against the variance of few. Autocovariances are weighted by a flat-top window, whose width
is twice the lag after which the correlations are no longer significant.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["block_length"]

_SIGNIFICANT = 2.0  # in standard errors of a correlation, as the paper sets it


def block_length(series: npt.NDArray[np.float64]) -> int:
    """Entries of a block, from 1 (independent) to the smaller of 3·√N and N/3, the paper's cap.

    Args:
        series: [N] of equal distances in time; a constant one has blocks of 1.
    """
    n = len(series)
    most = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    # equal values differ from their mean by rounding, which is no variance
    if n < 9 or np.ptp(series) <= 1e-12 * np.max(np.abs(series)):
        return 1
    covariance = _autocovariances(series)
    width = 2 * _last_significant_lag(covariance, n)
    if not width:
        return 1
    lag = np.arange(1, min(width, n - 1) + 1)
    weight = np.minimum(1.0, 2.0 * (1.0 - lag / width))  # 1 up to half of the width, then falling
    long_run = covariance[0] + 2.0 * float(weight @ covariance[lag])
    slope = 2.0 * float(weight @ (lag * covariance[lag]))
    if long_run <= 0.0:  # correlations that cancel: no block is long enough to be sure
        return most
    optimum = (1.5 * (slope / long_run) ** 2 * n) ** (1.0 / 3.0)  # 2 / (4/3) = 1.5
    return int(min(max(1, math.ceil(optimum)), most))


def _autocovariances(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 [N]: of the lags 0 … N − 1, by the Fourier transform."""
    n = len(series)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(series - series.mean(), size)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), size)[:n] / n)


def _last_significant_lag(covariance: npt.NDArray[np.float64], n: int) -> int:
    """The lag that a run of insignificant correlations follows, else the last significant one."""
    run = max(5, math.ceil(math.sqrt(math.log10(n))))
    furthest = min(math.ceil(math.sqrt(n)) + run, n - 1)
    bound = _SIGNIFICANT * math.sqrt(math.log10(n) / n)
    large = np.abs(covariance[1 : furthest + 1] / covariance[0]) >= bound  # large[k]: lag k + 1
    for lag in range(len(large) - run + 1):
        if not large[lag : lag + run].any():
            return lag
    return int(np.flatnonzero(large).max(initial=-1)) + 1
