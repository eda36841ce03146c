"""Lists that give every candidate its turn, at a price in recall: FairCo.

    adjusted_ud = score_ud + weight · (max_e E_e − E_d)

E_d is the exposure that item d has had in the lists so far, Σ 1 / log2(place + 1). It is the
proportional controller of Morik et al. 2020 (https://arxiv.org/abs/2005.14713, eq. 15) with every
item a group of its own and of equal merit: who has been shown too little rises, the more so the
longer it lasts. Only the best of each user are reordered, so that nobody is shown what does not
concern them at all. Users are answered in the order in which they come.
"""

from __future__ import annotations

import numpy as np

__all__ = ["FairController"]


class FairController:
    """Exposures so far, and the scores that they lead to.

    Example:
        controller = FairController(n_items, weight=0.001, places=20)
        for scores in chunks:                       # float32 [users, items], -inf is no candidate
            lists = top_k(controller.adjusted(scores), 20)
    """

    def __init__(self, n_items: int, *, weight: float, places: int, pool: int = 100) -> None:
        """`weight` in units of score per unit of exposure; `places` of a list; `pool` of the best
        candidates of a user are reordered."""
        if weight < 0 or places < 1 or pool < places:
            raise ValueError(
                f"weight must not be negative and 1 <= places <= pool must hold, got "
                f"{weight}, {places}, {pool}"
            )
        self.exposure = np.zeros(n_items)
        self._weight, self._pool = weight, pool
        self._discount = 1.0 / np.log2(np.arange(2, places + 2))

    def adjusted(self, scores: np.ndarray) -> np.ndarray:
        """`scores` [users, items] with each user's best raised by what exposure they lack.

        Raised scores stay above all that is not among the best, since nobody is lowered.
        """
        found = scores.copy()
        pool = min(self._pool, scores.shape[1])
        best = np.argpartition(-scores, pool - 1, axis=1)[:, :pool]
        for row, items in zip(found, np.sort(best, axis=1), strict=True):
            items = items[np.isfinite(row[items])]
            if not len(items):
                continue
            row[items] += self._weight * (self.exposure.max() - self.exposure[items])
            shown = items[np.argsort(-row[items], kind="stable")[: len(self._discount)]]
            self.exposure[shown] += self._discount[: len(shown)]
        return found
