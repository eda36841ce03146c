"""What 8 bits have to hold: ranges of activations, and how they are evened out. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["SMALLEST", "Affine", "Range", "bounds_of", "large_channels", "smoothing"]

SMALLEST = 1e-6  # of a magnitude that something is divided by
_SMOOTHING_POWER = 0.6


@dataclass(frozen=True, eq=False)
class Range:
    """The smallest and largest number seen of an activation, float32 [channels] each."""

    low: np.ndarray
    high: np.ndarray

    @property
    def largest(self) -> np.ndarray:
        """Largest magnitude a channel, float32 [channels], never 0."""
        return np.maximum(np.maximum(-self.low, self.high), SMALLEST)

    def scaled(self, factor: np.ndarray) -> Range:
        """The range after a multiplication by positive numbers [channels]."""
        return Range(self.low * factor, self.high * factor)

    def joined(self, other: Range) -> Range:
        """What holds both."""
        return Range(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def of(self, channels: np.ndarray) -> Range:
        """The range of some channels."""
        return Range(self.low[channels], self.high[channels])


@dataclass(frozen=True, eq=False)
class Affine:
    """kernel float32 [in, out] and bias float32 [out]."""

    kernel: np.ndarray
    bias: np.ndarray

    def of(self, neurons: np.ndarray) -> Affine:
        """The part that gives some outputs."""
        return Affine(self.kernel[:, neurons], self.bias[neurons])


def smoothing(largest: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What to divide input channels by, float32 [in], with mean 1.

    max|x|^0.6 / max|w|^0.4, SmoothQuant's formula (4).

    Args:
        largest: float32 [in], magnitude of each input channel.
        kernel: float32 [in, out].
    """
    weights = np.maximum(np.abs(kernel).max(axis=1), SMALLEST)
    factor = largest**_SMOOTHING_POWER / weights ** (1 - _SMOOTHING_POWER)
    return (factor / factor.mean()).astype(np.float32)


def large_channels(largest: np.ndarray, most: int) -> np.ndarray:
    """Up to `most` channels that are more than twice as large as all others, ascending."""
    if len(largest) <= most:
        return np.arange(0)
    next_below = np.sort(largest)[-most - 1]
    return np.flatnonzero(largest > 2 * next_below)


def bounds_of(taken: Range, kernel: np.ndarray) -> Range:
    """What a product [in] · [in, out] can reach at most."""
    ends = np.stack([taken.low[:, None] * kernel, taken.high[:, None] * kernel])
    return Range(ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0))
