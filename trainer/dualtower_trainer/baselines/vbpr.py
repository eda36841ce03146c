"""VBPR: ranking by factors and, beside them, by what an item looks or reads like.

Stands for the article's "MFMF" (multimodal neural collaborative filtering).

    x_ui = β_i + p_u · q_i + θ_u · (E f_i) + b · f_i

f_i is the item's content vector, E a learned projection of it (He & McAuley 2016,
https://arxiv.org/abs/1510.01784; trained by BPR): the vector of its text and, where the catalogue
has vectors of another modality, that one behind it. An item that nobody took has q_i = 0 and
β_i = 0 and is ranked by its content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.baselines.fold_in import user_vectors
from dualtower_trainer.baselines.sampled_pairs import RowAdam, sampled_batches
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet
from dualtower_trainer.baselines.unit_rows import centred_unit_rows

__all__ = ["Vbpr", "VbprConfig", "fused_content", "vbpr_gradients"]

Parameters = dict[str, np.ndarray]


@dataclass(frozen=True)
class VbprConfig:
    """dim: of the factors; content_dim: of the projected content."""

    dim: int = 64
    content_dim: int = 32
    regularisation: float = 1e-2
    learning_rate: float = 5e-3
    batch: int = 2048


class Vbpr:
    """The model; see `Model` in epochs.py."""

    def __init__(self, data: TrainingSet, seed: int, config: VbprConfig | None = None) -> None:
        self._data, self._config = data, config or VbprConfig()
        self._random = random = np.random.default_rng(seed)
        config = self._config
        self._content = fused_content(data)
        n_users, width = len(data.log.user_ids), self._content.shape[1]
        warm = (data.popularity > 0)[:, None]

        def table(values: np.ndarray) -> RowAdam:
            return RowAdam(values, learning_rate=config.learning_rate)

        self._tables = {
            "p": table(random.normal(0, 0.1, (n_users, config.dim))),
            "theta": table(random.normal(0, 0.1, (n_users, config.content_dim))),
            "q": table(random.normal(0, 0.1, (data.n_items, config.dim)) * warm),
            "beta": table(np.zeros((data.n_items, 1))),
            "E": table(random.normal(0, width**-0.5, (width, config.content_dim))),
            "b": table(np.zeros((width, 1))),
        }

    def epoch(self) -> float:
        losses, tables, config = [], self._tables, self._config
        for users, items, drawn in sampled_batches(
            self._data, self._random, batch=config.batch, negatives=1
        ):
            others = drawn[:, 0]
            both = np.concatenate([items, others])
            now = {
                "p": tables["p"].values[users],
                "theta": tables["theta"].values[users],
                "q": tables["q"].values[both],
                "beta": tables["beta"].values[both],
                "E": tables["E"].values,
                "b": tables["b"].values,
            }
            loss, slopes = vbpr_gradients(now, self._content[both])
            losses.append(loss)
            for name in slopes:
                slopes[name] += config.regularisation * now[name]
            for name, rows in (("p", users), ("theta", users), ("q", both), ("beta", both)):
                tables[name].step(rows, slopes[name])
            tables["E"].step_all(slopes["E"])
            tables["b"].step_all(slopes["b"])
        return float(np.mean(losses))

    def scorer(self) -> Scorer:
        data = self._data
        values = {name: table.values.copy() for name, table in self._tables.items()}
        users_all = np.concatenate([values["p"], values["theta"]], axis=1)
        items_all = np.concatenate([values["q"], self._content @ values["E"]], axis=1)
        bias = values["beta"][:, 0] + self._content @ values["b"][:, 0]

        def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
            vectors = user_vectors(data, users_all, items_all, histories, users)
            return np.asarray(vectors @ items_all.T + bias, np.float32)

        return score


def fused_content(data: TrainingSet) -> np.ndarray:
    """float32 [items, text width + feature width]: each part centred, of length 1, zeros where an
    item has none."""
    parts = [data.content()] + ([] if data.features is None else [data.features])
    return np.concatenate([centred_unit_rows(part) for part in parts], axis=1)


def vbpr_gradients(now: Parameters, content: np.ndarray) -> tuple[float, Parameters]:
    """Mean of -log σ(x_ui − x_uj), and the gradients of the *sum*, by parameter.

    Args:
        now: p [batch, dim], theta [batch, content_dim] of the users; q and beta [2·batch, …] of
            the positives and then the negatives; E [width, content_dim]; b [width, 1].
        content: of the same items, [2·batch, width].
    """
    half = len(now["p"])
    apart = content[:half] - content[half:]
    between = now["q"][:half] - now["q"][half:]
    seen = apart @ now["E"]
    margin = (
        (now["beta"][:half] - now["beta"][half:])[:, 0]
        + np.einsum("bd,bd->b", now["p"], between)
        + np.einsum("bd,bd->b", now["theta"], seen)
        + (apart @ now["b"])[:, 0]
    )
    slope = -1.0 / (1.0 + np.exp(np.clip(margin, -60, 60)))[:, None]
    return float(np.mean(np.logaddexp(0, -margin))), {
        "p": slope * between,
        "theta": slope * seen,
        "q": np.concatenate([slope * now["p"], -slope * now["p"]]),
        "beta": np.concatenate([slope, -slope]),
        "E": apart.T @ (slope * now["theta"]),
        "b": apart.T @ slope,
    }
