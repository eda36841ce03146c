"""Tastes in float16 or int8, and how far off a score by them can be. Numpy alone.

int8 has a scale for each row, `v ≈ scale · code` with scale = max|v| / 127, and leaves the weight
and the rest of an embedding out: beside the rest, which is near 1, a taste would be a few codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["INDEX_DTYPES", "Codes", "encode"]

INDEX_DTYPES = ("float32", "float16", "int8")
_LARGEST = 127


@dataclass(frozen=True)
class Codes:
    """Vectors in few bits.

    Attributes:
        values: float16 or int8 [n, taste].
        scales: float32 [n], of int8; None of float16.
        error: the largest distance of a row to its code. By Cauchy and Schwarz a user of length 1
            scores no item further off than that.
    """

    values: np.ndarray
    scales: np.ndarray | None
    error: float


def encode(tastes: np.ndarray, dtype: str) -> Codes:
    """Codes of finite float32 [n, taste] in one of float16, int8."""
    if dtype == "float16":
        halves = tastes.astype(np.float16)
        return Codes(halves, None, _largest_distance(tastes, halves.astype(np.float32)))
    if dtype != "int8":
        raise ValueError(f"codes are float16 or int8, got {dtype}")
    largest = np.abs(tastes).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / _LARGEST, 1.0).astype(np.float32)
    values = np.rint(tastes / scales[:, None]).astype(np.int8)
    return Codes(values, scales, _largest_distance(tastes, values * scales[:, None]))


def _largest_distance(tastes: np.ndarray, coded: np.ndarray) -> float:
    return float(np.linalg.norm(tastes - coded, axis=1).max(initial=0.0))
