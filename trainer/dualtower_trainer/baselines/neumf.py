"""NeuMF: a product of factors and a small network over factors, joined at the last layer.

Stands for the article's "iDeepCF" (deep collaborative filtering).

    x_ui = h · [ p_u ∘ q_i ,  relu(W₂ relu(W₁ [s_u ; t_i] + c₁) + c₂) ] + d

trained by binary cross-entropy with sampled negatives (He et al. 2017,
https://arxiv.org/abs/1708.05031).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.baselines.fold_in import user_vectors
from dualtower_trainer.baselines.sampled_pairs import RowAdam, sampled_batches
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet

__all__ = ["NeuMF", "NeuMfConfig", "logit_gradients", "logits"]

Parameters = dict[str, np.ndarray]
_SCORED_PAIRS = 1 << 16  # pairs whose hidden layers stand in memory at once


@dataclass(frozen=True)
class NeuMfConfig:
    """dim: of each factor table; hidden: width of the two layers; negatives: to one positive."""

    dim: int = 16
    hidden: tuple[int, int] = (16, 8)
    negatives: int = 4
    learning_rate: float = 1e-2
    regularisation: float = 1e-5
    batch: int = 2048

    def __post_init__(self) -> None:
        if len(self.hidden) != 2:
            raise ValueError(f"hidden must be two widths, got {self.hidden}")


class NeuMF:
    """The model; see `Model` in epochs.py."""

    def __init__(self, data: TrainingSet, seed: int, config: NeuMfConfig | None = None) -> None:
        self._data, self._config = data, config or NeuMfConfig()
        self._random = random = np.random.default_rng(seed)
        dim, (first, second) = self._config.dim, self._config.hidden
        n_users = len(data.log.user_ids)
        shapes = {
            "p": (n_users, dim, 0.1), "s": (n_users, dim, 0.1),
            "q": (data.n_items, dim, 0.1), "t": (data.n_items, dim, 0.1),
            "W1": (2 * dim, first, dim**-0.5), "c1": (1, first, 0.0),
            "W2": (first, second, (first / 2) ** -0.5), "c2": (1, second, 0.0),
            "h": (dim + second, 1, dim**-0.5), "d": (1, 1, 0.0),
        }  # fmt: skip
        self._tables = {
            name: RowAdam(
                random.normal(0, 1, (rows, columns)) * scale,
                learning_rate=self._config.learning_rate,
            )
            for name, (rows, columns, scale) in shapes.items()
        }

    def epoch(self) -> float:
        losses, tables, config = [], self._tables, self._config
        for who, items, drawn in sampled_batches(
            self._data, self._random, batch=config.batch, negatives=config.negatives
        ):
            users = np.repeat(who, 1 + config.negatives)
            rows = np.concatenate([items[:, None], drawn], axis=1).ravel()
            labels = np.zeros((len(who), 1 + config.negatives), np.float32)
            labels[:, 0] = 1
            now = {name: table.values for name, table in tables.items()}
            now |= {"p": now["p"][users], "s": now["s"][users]}
            now |= {"q": now["q"][rows], "t": now["t"][rows]}
            found, hidden = logits(now)
            chance = 1.0 / (1.0 + np.exp(-np.clip(found, -60, 60)))
            slopes = logit_gradients(now, hidden, (chance - labels.ravel()) / len(who))
            losses.append(np.mean(np.logaddexp(0, found) - labels.ravel() * found))
            for name, slope in slopes.items():
                if name in ("p", "s", "q", "t"):
                    slope = slope + config.regularisation * now[name]
                    tables[name].step(users if name in "ps" else rows, slope)
                else:
                    tables[name].step_all(slope)
        return float(np.mean(losses))

    def scorer(self) -> Scorer:
        data, dim = self._data, self._config.dim
        values = {name: table.values.copy() for name, table in self._tables.items()}
        users_all = np.concatenate([values["p"], values["s"]], axis=1)
        # a new user is the mean of the people who took the same: items live in another space here
        takers = (data.matrix.T @ users_all) / np.maximum(data.popularity, 1)[:, None]
        of_items = values["t"] @ values["W1"][dim:] + values["c1"]
        chunk = max(1, _SCORED_PAIRS // data.n_items)

        def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
            vectors = user_vectors(data, users_all, takers, histories, users)
            p, of_users = vectors[:, :dim], vectors[:, dim:] @ values["W1"][:dim]
            scores = (p * values["h"][:dim, 0]) @ values["q"].T
            for start in range(0, len(p), chunk):
                first = np.maximum(of_users[start : start + chunk, None] + of_items, 0)
                second = np.maximum(first @ values["W2"] + values["c2"], 0)
                scores[start : start + chunk] += second @ values["h"][dim:, 0]
            scores[~vectors.any(axis=1)] = 0.0  # the network was never shown nobody
            return np.asarray(scores, np.float32)

        return score


def logits(now: Parameters) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """x_ui [batch] of p, s, q, t [batch, dim] and the layers, and both hidden layers."""
    first = np.maximum(np.concatenate([now["s"], now["t"]], axis=1) @ now["W1"] + now["c1"], 0)
    second = np.maximum(first @ now["W2"] + now["c2"], 0)
    joined = np.concatenate([now["p"] * now["q"], second], axis=1)
    return (joined @ now["h"])[:, 0] + now["d"][0, 0], (first, second)


def logit_gradients(
    now: Parameters, hidden: tuple[np.ndarray, np.ndarray], slope: np.ndarray
) -> Parameters:
    """Gradients of a loss by parameter, from its gradient to the logits, `slope` [batch]."""
    first, second = hidden
    dim = now["p"].shape[1]
    column = slope[:, None].astype(np.float32)
    product = now["p"] * now["q"]
    to_product = column * now["h"][:dim, 0]
    to_second = column * now["h"][dim:, 0] * (second > 0)
    to_first = (to_second @ now["W2"].T) * (first > 0)
    to_input = to_first @ now["W1"].T
    return {
        "p": to_product * now["q"],
        "q": to_product * now["p"],
        "s": to_input[:, :dim],
        "t": to_input[:, dim:],
        "W1": np.concatenate([now["s"], now["t"]], axis=1).T @ to_first,
        "c1": to_first.sum(axis=0, keepdims=True),
        "W2": first.T @ to_second,
        "c2": to_second.sum(axis=0, keepdims=True),
        "h": np.concatenate([product, second], axis=1).T @ column,
        "d": column.sum(axis=0, keepdims=True),
    }
