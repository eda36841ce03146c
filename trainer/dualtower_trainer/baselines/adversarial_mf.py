"""AMF: matrix factorisation for ranking, trained against a disturbance of its own factors (APR).

Stands for the article's "AdMF" (adversarial matrix factorisation).

    L = Σ -log σ(x_ui - x_uj)  +  λ · Σ -log σ(x̂_ui - x̂_uj)  +  reg · ‖Θ‖²

x_ui = p_u · q_i, and x̂ is the same after every factor row has been moved by ε along its own
gradient, the direction that hurts most (He et al. 2018, https://arxiv.org/abs/1808.03908). With
λ = 0 it is BPR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualtower_trainer.baselines.fold_in import factor_scorer
from dualtower_trainer.baselines.sampled_pairs import RowAdam, sampled_batches
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet

__all__ = ["AdversarialMF", "AmfConfig", "disturbance", "ranking_gradients"]


@dataclass(frozen=True)
class AmfConfig:
    """dim: of the factors; epsilon: length of a disturbance; weight: λ of the adversarial part;
    plain_epochs: passes without it, from which the adversarial ones go on."""

    dim: int = 64
    epsilon: float = 0.2
    weight: float = 1.0
    plain_epochs: int = 10
    regularisation: float = 3e-3
    learning_rate: float = 5e-3
    batch: int = 2048


class AdversarialMF:
    """The model; see `Model` in epochs.py."""

    def __init__(self, data: TrainingSet, seed: int, config: AmfConfig | None = None) -> None:
        self._data, self._config = data, config or AmfConfig()
        self._random = np.random.default_rng(seed)
        shape = self._config.dim
        self._users, self._items = (
            RowAdam(
                self._random.normal(0, 0.1, (rows, shape)),
                learning_rate=self._config.learning_rate,
            )
            for rows in (len(data.log.user_ids), data.n_items)
        )
        self._epochs = 0

    def epoch(self) -> float:
        config, losses = self._config, []
        adversarial = config.weight > 0 and self._epochs >= config.plain_epochs
        for users, items, drawn in sampled_batches(
            self._data, self._random, batch=config.batch, negatives=1
        ):
            others = drawn[:, 0]
            p, qi, qj = self._users.values[users], self._items.values[items], None
            qj = self._items.values[others]
            loss, gradients = ranking_gradients(p, qi, qj)
            losses.append(loss)
            if adversarial:
                moved = [
                    vectors + disturbance(gradient, config.epsilon)
                    for vectors, gradient in zip((p, qi, qj), gradients, strict=True)
                ]
                _, hurt = ranking_gradients(*moved)
                gradients = tuple(
                    g + config.weight * h for g, h in zip(gradients, hurt, strict=True)
                )
            dp, dqi, dqj = (
                gradient + config.regularisation * vectors
                for gradient, vectors in zip(gradients, (p, qi, qj), strict=True)
            )
            self._users.step(users, dp)
            self._items.step(np.concatenate([items, others]), np.concatenate([dqi, dqj]))
        self._epochs += 1
        return float(np.mean(losses))

    def scorer(self) -> Scorer:
        return factor_scorer(self._data, self._users.values.copy(), self._items.values.copy())


def ranking_gradients(
    p: np.ndarray, qi: np.ndarray, qj: np.ndarray
) -> tuple[float, tuple[np.ndarray, ...]]:
    """Mean of -log σ(p·qi - p·qj), and the gradients of the *sum*, three of [batch, dim]."""
    margin = np.einsum("bd,bd->b", p, qi - qj)
    slope = -1.0 / (1.0 + np.exp(np.clip(margin, -60, 60)))
    slope = slope[:, None]
    return float(np.mean(np.logaddexp(0, -margin))), (slope * (qi - qj), slope * p, -slope * p)


def disturbance(gradient: np.ndarray, epsilon: float) -> np.ndarray:
    """ε · gradient / ‖gradient‖ for each row, the steepest way up (fast gradient method)."""
    lengths = np.linalg.norm(gradient, axis=-1, keepdims=True)
    return np.asarray(epsilon * gradient / np.maximum(lengths, 1e-12), np.float32)
