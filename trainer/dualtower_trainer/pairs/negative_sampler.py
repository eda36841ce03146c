"""Uniform and mixed negatives, with the exact expected count of every item among the candidates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["NegativeSampler"]

_STREAM = 0x6E65  # apart from what others draw with the same seed and step


class NegativeSampler:
    """Draws negatives evenly from a pool, and knows how often each item is a candidate in all.

    In-batch negatives alone come by popularity and never show the tail; mixed with uniform draws,
    one softmax takes both, each item corrected by its count in the mixture (Yang et al. 2020,
    https://doi.org/10.1145/3366424.3386195).

    Example:
        sampler = NegativeSampler(pool, 2048, n_items, popularity=counts, in_batch=256)
        drawn = sampler.draw(seed=0, step=17)
        candidates = np.concatenate([batch_items, drawn])
        log_expected_count = sampler.log_expected_count[candidates]
    """

    def __init__(
        self,
        pool: npt.NDArray[np.integer],
        count: int,
        n_items: int,
        *,
        popularity: npt.ArrayLike | None = None,
        in_batch: int = 0,
    ) -> None:
        """Uniform alone, or mixed with what a batch holds.

        Args:
            pool: int item rows that may be drawn, without repeats.
            count: draws a step, with replacement.
            n_items: rows of the catalogue.
            popularity: [n_items], interactions of each item; needed with `in_batch`.
            in_batch: items a step that the batch itself brings, each drawn from the interactions
                evenly and independently.
        """
        if len(np.unique(pool)) != len(pool) or not len(pool):
            raise ValueError("the pool must hold at least one item, and none twice")
        if count < 0 or in_batch < 0 or count + in_batch == 0:
            raise ValueError(
                f"count and in_batch must not be negative nor both 0, got {count} and {in_batch}"
            )
        expected = np.zeros(n_items)
        expected[pool] = count / len(pool)
        if in_batch:
            if popularity is None or np.shape(popularity) != (n_items,):
                raise ValueError(f"in_batch needs popularity, one an item ({n_items})")
            interactions = np.asarray(popularity, np.float64)
            expected += in_batch * interactions / interactions.sum()
        self._pool = np.asarray(pool, np.int32)
        self._count = count
        self.expected_count: npt.NDArray[np.float64] = expected

    @property
    def log_expected_count(self) -> npt.NDArray[np.float32]:
        """float32 [n_items], ln of the expected candidates of each item a step; -inf for none."""
        with np.errstate(divide="ignore"):
            return np.log(self.expected_count).astype(np.float32)

    def draw(self, *, seed: int, step: int) -> npt.NDArray[np.int32]:
        """int32 [count] item rows, a function of its arguments alone."""
        random = np.random.default_rng((seed, step, _STREAM))
        return self._pool[random.integers(0, len(self._pool), self._count)]
