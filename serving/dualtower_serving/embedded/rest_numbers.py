"""Floats as the stock server prints them.

They have 6 significant digits if that reads back as the same float, else 9 (float32) or 17
(float64); whole ones end in `.0` unless they have an exponent. NaN and Infinity are bare.

A whole array is done at once: numpy decides how many digits each value needs, and one `%` prints
them all, faster than `json.dumps`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["float_text", "float_texts"]

_DIGITS = {np.dtype(np.float32): 9, np.dtype(np.float64): 17}
_FEW = 8  # up to here one by one is faster
_EXACT_POWER = 15  # within 10^±15 the test for 6 digits is exact in float64
_POWERS = 10.0 ** np.arange(-30, 31)
_POWERS_OFFSET = 30


def float_text(value: float, digits: int = 9) -> str:
    """One number; `digits` is 9 for a float32, 17 for a float64."""
    kind = np.float32 if digits == 9 else np.float64
    text = f"{value:.6g}"
    if value != value:
        return "NaN"
    if value in (np.inf, -np.inf):
        return "Infinity" if value > 0 else "-Infinity"
    if kind(text) != value:
        text = f"{value:.{digits}g}"
    return text if "." in text or "e" in text else f"{text}.0"


def float_texts(array: NDArray[Any]) -> list[str]:
    """Each number of a float32 or float64 array, in C order."""
    flat = array.ravel()
    digits = _DIGITS[flat.dtype]
    values: list[float] = flat.tolist()
    if len(values) <= _FEW:
        return [float_text(value, digits) for value in values]
    formats, certain = _formats(flat, digits)
    texts = (" ".join(formats) % tuple(values)).split(" ")
    for position in np.flatnonzero(~certain).tolist():
        texts[position] = float_text(values[position], digits)
    return texts


def _formats(flat: NDArray[Any], digits: int) -> tuple[list[str], NDArray[np.bool_]]:
    """How each value is printed, and where that is certain."""
    with np.errstate(all="ignore"):  # NaN, infinite and tiny ones are not certain
        size = np.abs(flat.astype(np.float64))
        exponent = np.floor(np.log10(size))
        certain = np.abs(exponent) <= _EXACT_POWER
        power = np.where(certain, 5 - exponent, 0).astype(np.int64)
        # log10 may be off by one beside a power of ten
        scaled = np.rint(_scale(size, power))
        power -= scaled >= 1e6
        power += scaled < 1e5
        back = _scale(np.rint(_scale(size, power)), -power)
        zero = size == 0
        short = (back.astype(flat.dtype) == np.abs(flat)) | zero
        whole = (np.floor(size) == size) & (size < np.where(short, 1e6, 10.0**digits))
    kinds = np.where(short, 0, 2) + whole
    table = np.array(["%.6g", "%.6g.0", f"%.{digits}g", f"%.{digits}g.0"], object)
    formats: list[str] = table[kinds].tolist()
    return formats, certain | zero


def _scale(values: NDArray[np.float64], power: NDArray[np.int64]) -> NDArray[np.float64]:
    """values · 10^power, rounded once: powers above 10^0 are exact, those below are divided by."""
    up = _POWERS[np.maximum(power, 0) + _POWERS_OFFSET]
    down = _POWERS[np.maximum(-power, 0) + _POWERS_OFFSET]
    return values * up / down
