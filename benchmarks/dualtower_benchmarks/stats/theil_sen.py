"""Whether a series grows: the median of the slopes of all pairs, with an interval.

Theil (1950, Proc. Kon. Ned. Akad. v. Wetensch. A 53) takes the median of all slopes; Sen (1968,
Journal of the American Statistical Association 63, 1379–1389) its interval: the slopes at the
ranks (N ∓ z σ) / 2 of N, where σ² = n (n − 1) (2n + 5) / 18 is the variance of Kendall's S, less
for ties. Fewer than a third of the values may be anything without moving it far.

The interval takes what is left beside the line for independent. A curve of memory is not, so it is
laid out in blocks of time beforehand, each by its median (`block_medians`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST", "Slope", "block_medians", "slope_of"]

FEWEST = 8  # values; below that the interval is the whole range of slopes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slope:
    """A slope by unit of the abscissa, with its interval, out of `n` values."""

    value: float
    low: float
    high: float
    n: int


def slope_of(x: Floats, y: Floats, *, confidence: float = 0.95) -> Slope | None:
    """The slope of `y` over `x`, both float64 [n]; None for fewer than FEWEST values."""
    n = len(x)
    if n < FEWEST:
        return None
    early, late = np.triu_indices(n, k=1)
    run = x[late] - x[early]
    apart = run != 0
    slopes = np.sort((y[late] - y[early])[apart] / run[apart])
    if not len(slopes):
        return None
    variance = (n * (n - 1) * (2 * n + 5) - _tied(x) - _tied(y)) / 18.0
    reach = NormalDist().inv_cdf((1.0 + confidence) / 2.0) * math.sqrt(max(variance, 0.0))
    low = max(round((len(slopes) - reach) / 2.0) - 1, 0)
    high = min(round((len(slopes) + reach) / 2.0), len(slopes) - 1)
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]), n)


def block_medians(x: Floats, y: Floats, *, blocks: int) -> tuple[Floats, Floats]:
    """Medians of both over `blocks` of equal numbers of neighbours; as they are where fewer."""
    if len(x) <= blocks:
        return x, y
    parts = np.array_split(np.arange(len(x)), blocks)
    return (
        np.array([np.median(x[part]) for part in parts]),
        np.array([np.median(y[part]) for part in parts]),
    )


def _tied(values: Floats) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1) * (2 * counts + 5)).sum())
