"""Vectors of another modality than text, such as of an image, as they stand in files of items.

`[0.1, 2, -3e-2]`, `0.1 2 -3e-2` and `0.1, 2, -3e-2` are the same vector; a list of a Parquet or
JSONL file reads like the second.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_FEATURES", "parse_features"]

MAX_FEATURES = 1 << 14
_LIST = re.compile(r"\[(.*)\]", re.DOTALL)


def parse_features(text: str) -> npt.NDArray[np.float32]:
    """float32 [numbers] of a list of numbers.

    Raises:
        ValueError: it is none, or a number is not finite in float32, or there are too many.

    >>> parse_features("[0.5, 2]"), parse_features("0.5 2")
    (array([0.5, 2. ], dtype=float32), array([0.5, 2. ], dtype=float32))
    """
    bracketed = _LIST.fullmatch(text.strip())
    words = (bracketed[1] if bracketed else text).replace(",", " ").split()
    if not 0 < len(words) <= MAX_FEATURES:
        raise ValueError(f"a vector has from 1 to {MAX_FEATURES} numbers, got {len(words)}")
    vector = np.array([float(word) for word in words], np.float64)
    if not (np.abs(vector) < np.finfo(np.float32).max).all():  # also refuses nan
        raise ValueError("a number of a vector is not finite")
    return vector.astype(np.float32)
