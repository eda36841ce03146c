"""Groups of users by how much is known of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["BUCKETS", "bucket_of"]

_FROM = (0, 1, 2, 3, 6, 11, 21, 51)
BUCKETS = ("0", "1", "2", "3–5", "6–10", "11–20", "21–50", "51+")


def bucket_of(histories: Sequence[np.ndarray]) -> np.ndarray:
    """The place in BUCKETS of each history, int64 [users].

    >>> bucket_of([np.arange(0), np.arange(4), np.arange(51)]).tolist()
    [0, 3, 7]
    """
    lengths = np.array([len(history) for history in histories], np.int64)
    return np.searchsorted(_FROM, lengths, side="right") - 1
