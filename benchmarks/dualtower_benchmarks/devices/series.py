"""Readings over time on one clock, and what is made of them: energy, medians, differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Series", "Window", "unwrapped"]


@dataclass(frozen=True)
class Window:
    """The part of a run that a row is about, in nanoseconds of the monotonic clock.

    That clock is one for all processes of a machine, so requests and readings can be laid together.
    """

    begin_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        if self.end_ns <= self.begin_ns:
            raise ValueError(f"a window ends after it begins, got {self.begin_ns}..{self.end_ns}")

    @property
    def elapsed_s(self) -> float:
        return (self.end_ns - self.begin_ns) / 1e9


@dataclass(frozen=True)
class Series:
    """Values and when they were read.

    Args:
        at_ns: int64 [n], rising.
        values: float64 [n].

    Raises:
        ValueError: the clock stood still or went back.
    """

    at_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.at_ns) != len(self.values):
            raise ValueError(f"{len(self.at_ns)} instants and {len(self.values)} values")
        if (np.diff(self.at_ns) <= 0).any():
            raise ValueError("the clock stood still or went back between two readings")

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, float]]) -> Series:
        """Of (instant, value) pairs in the order of reading."""
        return cls(
            np.array([at for at, _ in pairs], dtype=np.int64),
            np.array([value for _, value in pairs], dtype=np.float64),
        )

    def covers(self, window: Window) -> bool:
        """Whether it was read before and after the window, so that nothing is extrapolated."""
        return (
            len(self.at_ns) > 1
            and bool(self.at_ns[0] <= window.begin_ns)
            and bool(self.at_ns[-1] >= window.end_ns)
        )

    def within(self, window: Window) -> npt.NDArray[np.float64]:
        """float64 [m]: the values read inside the window."""
        keep = (self.at_ns >= window.begin_ns) & (self.at_ns <= window.end_ns)
        return self.values[keep]

    def growth(self, window: Window) -> float:
        """How much a counter grew over the window; straight between its readings."""
        self._hold_cover(window)
        ends = np.interp([window.begin_ns, window.end_ns], self.at_ns, self.values)
        return float(ends[1] - ends[0])

    def integral(self, window: Window) -> float:
        """∫ value dt over the window in value-seconds, by the trapezoid rule."""
        self._hold_cover(window)
        inside = (self.at_ns > window.begin_ns) & (self.at_ns < window.end_ns)
        at_ns = np.concatenate([[window.begin_ns], self.at_ns[inside], [window.end_ns]])
        values = np.interp(at_ns, self.at_ns, self.values)
        widths_s = np.diff(at_ns) / 1e9
        return float(np.sum(widths_s * (values[1:] + values[:-1]) / 2))

    def _hold_cover(self, window: Window) -> None:
        if not self.covers(window):
            raise ValueError("readings do not reach over the whole window")


def unwrapped(
    values: npt.NDArray[np.float64], wraps_at: float | None
) -> npt.NDArray[np.float64] | None:
    """A counter without its wraps; None: it fell, and nothing says where it wraps.

    Args:
        wraps_at: the range of the counter, after which it begins anew. Between two readings it is
            taken to wrap once at most.
    """
    falls = np.diff(values) < 0
    if not falls.any():
        return values
    if not wraps_at:
        return None
    rounds = np.concatenate([[0], np.cumsum(falls)])
    return values + rounds * wraps_at
