"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SearchResult"]


@dataclass(frozen=True)
class SearchResult:
    """The best items for one query, best first. Fewer than asked where no more may be found."""

    item_ids: tuple[str, ...]
    scores: NDArray[np.float32]  # [items], not rising; dot products, of unit vectors the cosine
