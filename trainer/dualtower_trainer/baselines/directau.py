"""DirectAU: collaborative filtering by alignment and uniformity, contrast without negatives.

Stands for the article's "NCS" (metadata-free contrastive collaborative filtering), beside XSimGCL.

    L = mean ‖u − i‖²  +  γ/2 · (uniformity(users) + uniformity(items))
    uniformity(X) = log mean over pairs x ≠ y of exp(−2 ‖x − y‖²)

over the vectors of a batch, brought to length 1 (Wang et al. 2022,
https://doi.org/10.1145/3534678.3539253; the plain embedding table as encoder).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualtower_trainer.baselines.fold_in import factor_scorer
from dualtower_trainer.baselines.sampled_pairs import RowAdam, sampled_batches
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet
from dualtower_trainer.baselines.unit_rows import through_length, unit_rows

__all__ = ["DirectAU", "DirectAuConfig", "alignment", "uniformity"]


@dataclass(frozen=True)
class DirectAuConfig:
    """dim: of the vectors; gamma: weight of uniformity against alignment."""

    dim: int = 64
    gamma: float = 0.35
    learning_rate: float = 1e-2
    weight_decay: float = 1e-6
    batch: int = 1024


class DirectAU:
    """The model; see `Model` in epochs.py."""

    def __init__(self, data: TrainingSet, seed: int, config: DirectAuConfig | None = None) -> None:
        self._data, self._config = data, config or DirectAuConfig()
        self._random = np.random.default_rng(seed)
        self._users, self._items = (
            RowAdam(
                self._random.normal(0, 0.1, (rows, self._config.dim)),
                learning_rate=self._config.learning_rate,
            )
            for rows in (len(data.log.user_ids), data.n_items)
        )

    def epoch(self) -> float:
        config, losses = self._config, []
        for users, items, _ in sampled_batches(
            self._data, self._random, batch=config.batch, negatives=0
        ):
            raw_u, raw_i = self._users.values[users], self._items.values[items]
            u, i = unit_rows(raw_u), unit_rows(raw_i)
            loss, du, di = alignment(u, i)
            for vectors, gradient in ((u, du), (i, di)):
                spread, slope = uniformity(vectors)
                loss += config.gamma / 2 * spread
                gradient += config.gamma / 2 * slope
            losses.append(loss)
            for table, rows, raw, gradient in (
                (self._users, users, raw_u, du),
                (self._items, items, raw_i, di),
            ):
                table.step(rows, through_length(raw, gradient) + config.weight_decay * raw)
        return float(np.mean(losses))

    def scorer(self) -> Scorer:
        return factor_scorer(self._data, self._users.values.copy(), self._items.values.copy())


def alignment(u: np.ndarray, i: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean ‖u − i‖² over the rows [batch, dim], and its gradients to both."""
    apart = u - i
    slope = 2 * apart / len(u)
    return float(np.mean(np.sum(apart * apart, axis=1))), slope, -slope


def uniformity(x: np.ndarray) -> tuple[float, np.ndarray]:
    """log mean over pairs of exp(−2 ‖x_a − x_b‖²) of unit rows [batch, dim], and its gradient.

    The gradient is that of −2‖x_a − x_b‖² = 4 x_a·x_b − 4, which holds on the sphere, where
    `through_length` is applied next. One row has no pairs: 0.
    """
    if len(x) < 2:
        return 0.0, np.zeros_like(x)
    kernel = np.exp(4 * (x @ np.ascontiguousarray(x.T)) - 4)  # a plain product beats syrk here
    np.fill_diagonal(kernel, 0)
    total = kernel.sum(dtype=np.float64)  # every pair twice
    value = float(np.log(total / (len(x) * (len(x) - 1))))
    return value, np.asarray(8 * (kernel @ x) / total, x.dtype)
