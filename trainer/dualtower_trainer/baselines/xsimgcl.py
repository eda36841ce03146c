"""XSimGCL: graph collaborative filtering that tells people apart by contrast between its layers.

Stands for the article's "NCS" (metadata-free contrastive collaborative filtering), beside DirectAU.

    E_k = Â E_(k-1) + ε · sign(Â E_(k-1)) ⊙ Δ_k        Δ_k uniform in [0, 1), rows of length 1
    E   = mean of E_1 … E_K
    L   = mean -log σ(u·i - u·j)  +  λ · (InfoNCE of the users + InfoNCE of the items)

InfoNCE holds E against one of its layers, as two views of the same nodes: each node of the batch
has to find itself among the others (Yu et al. 2023, https://arxiv.org/abs/2209.02544). SimGCL (Yu
et al. 2022, https://arxiv.org/abs/2112.08679) draws two noisy views beside a clean one; here one
noisy pass is both the view and what is trained to rank, a third of the products with Â. Scores
come without noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from dualtower_trainer.baselines.adversarial_mf import ranking_gradients
from dualtower_trainer.baselines.fold_in import user_vectors
from dualtower_trainer.baselines.graph import inverse_roots, normalised_graph
from dualtower_trainer.baselines.sampled_pairs import RowAdam, sampled_batches
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet
from dualtower_trainer.baselines.unit_rows import through_length, unit_rows

__all__ = ["XSimGCL", "XSimGclConfig", "info_nce"]


@dataclass(frozen=True)
class XSimGclConfig:
    """dim: of the vectors; layers: K; contrast_layer: from 1 on, which of them is held against
    the mean; epsilon: length of the noise; weight: λ; temperature: of InfoNCE."""

    dim: int = 64
    layers: int = 2
    contrast_layer: int = 1
    epsilon: float = 0.5
    weight: float = 0.2
    temperature: float = 0.2
    regularisation: float = 1e-4
    learning_rate: float = 3e-2
    batch: int = 2048

    def __post_init__(self) -> None:
        if not 1 <= self.contrast_layer <= self.layers:
            raise ValueError(
                f"contrast_layer must be from 1 to layers = {self.layers}, "
                f"got {self.contrast_layer}"
            )


class XSimGCL:
    """The model; see `Model` in epochs.py."""

    def __init__(self, data: TrainingSet, seed: int, config: XSimGclConfig | None = None) -> None:
        self._data, self._config = data, config or XSimGclConfig()
        self._random = np.random.default_rng(seed)
        self._graph = normalised_graph(data.matrix)
        self._n_users = len(data.log.user_ids)
        nodes = self._n_users + data.n_items
        self._table = RowAdam(
            self._random.normal(0, 0.1, (nodes, self._config.dim)),
            learning_rate=self._config.learning_rate,
        )

    def epoch(self) -> float:
        config, losses = self._config, []
        for users, items, drawn in sampled_batches(
            self._data, self._random, batch=config.batch, negatives=1
        ):
            nodes = np.concatenate([users, self._n_users + items, self._n_users + drawn[:, 0]])
            layers = self.layers(noise=config.epsilon)
            loss, to_mean, to_layer = self._loss(nodes, layers)
            slope = self.backward(to_mean, to_layer)
            pull = config.regularisation * self._table.values[nodes] / len(users)
            slope += _scattered(nodes, pull, len(slope))
            self._table.step_all(slope)
            losses.append(loss)
        return float(np.mean(losses))

    def layers(self, noise: float = 0.0) -> list[np.ndarray]:
        """E_1 … E_K, float32 [users + items, dim] each, with noise of that length."""
        vectors, found = self._table.values, []
        for _ in range(self._config.layers):
            vectors = self._graph @ vectors
            if noise > 0:
                drawn = self._random.random(vectors.shape, np.float32)
                vectors = vectors + noise * np.sign(vectors) * unit_rows(drawn)
            found.append(vectors)
        return found

    def backward(self, to_mean: np.ndarray, to_layer: np.ndarray) -> np.ndarray:
        """The gradient to the table, from those to the mean of the layers and to the contrasted
        layer; the noise is a constant."""
        slope = np.zeros_like(to_mean)
        for layer in range(self._config.layers, 0, -1):
            slope = slope + to_mean / self._config.layers
            if layer == self._config.contrast_layer:
                slope = slope + to_layer
            slope = self._graph @ slope
        return slope

    def scorer(self) -> Scorer:
        """A person whom the training lacks is the normalised sum of the history's items, which is
        what Â makes of a person whom it has."""
        data = self._data
        layers = self.layers()
        mean = np.mean(layers, axis=0)
        before = np.mean([self._table.values, *layers[:-1]], axis=0)[self._n_users :]
        neighbours = before * inverse_roots(data.matrix)[1][:, None]
        of_users, of_items = mean[: self._n_users], mean[self._n_users :]

        def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
            vectors = user_vectors(data, of_users, neighbours, histories, users)
            return np.asarray(vectors @ of_items.T, np.float32)

        return score

    def _loss(
        self, nodes: np.ndarray, layers: list[np.ndarray]
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """The loss of a batch, and its gradients to the mean and to the contrasted layer."""
        config, layer = self._config, layers[self._config.contrast_layer - 1]
        mean = np.mean(layers, axis=0)
        pairs = nodes.reshape(3, -1)
        loss, slopes = ranking_gradients(*mean[pairs])
        to_mean = _scattered(nodes, np.concatenate(slopes) / pairs.shape[1], len(mean))
        to_layer = np.zeros_like(mean)
        for group in (np.unique(pairs[0]), np.unique(pairs[1])):
            raw, view = mean[group], layer[group]
            apart, to_raw, to_view = info_nce(
                unit_rows(raw), unit_rows(view), temperature=config.temperature
            )
            loss += config.weight * apart
            to_mean[group] += config.weight * through_length(raw, to_raw)
            to_layer[group] += config.weight * through_length(view, to_view)
        return loss, to_mean, to_layer


def info_nce(
    a: np.ndarray, b: np.ndarray, *, temperature: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean over rows n of -log(exp(a_n·b_n / τ) / Σ_m exp(a_n·b_m / τ)), and its gradients.

    Args:
        a: unit rows [batch, dim].
        b: the other view of the same nodes, likewise.
        temperature: τ.
    """
    logits = a @ np.ascontiguousarray(b.T) / np.asarray(temperature, a.dtype)
    logits -= logits.max(axis=1, keepdims=True)
    own = np.diagonal(logits).copy()
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - own))
    logits /= total
    scale = temperature * len(a)
    return loss, (logits @ b - b) / scale, (np.ascontiguousarray(logits.T) @ a - a) / scale


def _scattered(rows: np.ndarray, values: np.ndarray, n_rows: int) -> np.ndarray:
    """float32 [n_rows, dim] with `values` [batch, dim] added up at their `rows`."""
    ones, ends = np.ones(len(rows), np.float32), np.arange(len(rows) + 1)
    placed = sparse.csr_matrix((ones, rows, ends), shape=(len(rows), n_rows))
    return np.asarray(placed.T @ values, np.float32)
