"""The rating that a mean and two biases foresee: the bar that a rating head has to take.

    r̂(u, i) = μ + bᵢ + bᵤ      bᵢ = Σ (r - μ) / (λᵢ + n)      bᵤ = Σ (r - μ - bᵢ) / (λᵤ + n)

Section 2.1 of Koren 2010, "Factor in the neighbors", https://doi.org/10.1145/1644873.1644874, with
its λᵢ = 25 and λᵤ = 10. Somebody or something unknown has the bias 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RatingBiases"]

_ITEM_DAMPING, _USER_DAMPING = 25.0, 10.0


@dataclass(frozen=True, eq=False)
class RatingBiases:
    """Fitted biases.

    Attributes:
        mean: of all ratings.
        users: float64 [users].
        items: float64 [items].
    """

    mean: float
    users: npt.NDArray[np.float64]
    items: npt.NDArray[np.float64]

    @staticmethod
    def fit(
        users: npt.NDArray[np.integer],
        items: npt.NDArray[np.integer],
        ratings: npt.NDArray[np.floating],
        *,
        n_users: int,
        n_items: int,
    ) -> RatingBiases:
        """From int [ratings] users and items, and the ratings, all of them known."""
        mean = float(np.mean(ratings, dtype=np.float64))
        rest = ratings.astype(np.float64) - mean
        by_item = _damped(items, rest, n_items, _ITEM_DAMPING)
        by_user = _damped(users, rest - by_item[items], n_users, _USER_DAMPING)
        return RatingBiases(mean, by_user, by_item)

    def predict(
        self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.float64]:
        """float64 [pairs]."""
        return self.mean + self.users[users] + self.items[items]


def _damped(
    groups: npt.NDArray[np.integer], values: npt.NDArray[np.float64], count: int, damping: float
) -> npt.NDArray[np.float64]:
    sums = np.bincount(groups, values, minlength=count)
    numbers = np.bincount(groups, minlength=count)
    shrunk: npt.NDArray[np.float64] = sums / (damping + numbers)
    return shrunk
