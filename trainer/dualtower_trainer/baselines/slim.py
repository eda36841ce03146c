"""SLIM: a sparse linear autoencoder whose weights are an elastic net, found per item.

Stands for the article's "SimReco" (similarity-based top-N), beside EASE.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix

__all__ = ["elastic_net", "fit_slim"]

_BLOCK = 256  # items solved at once: their Gram matrices of candidates² stand in memory


def fit_slim(
    data: TrainingSet,
    *,
    l1: float = 1.0,
    l2: float = 50.0,
    candidates: int = 100,
    sweeps: int = 20,
) -> Scorer:
    """Sum over the history of the weights w_ji of fsSLIM.

    For each item i: min ½‖x_i − X w‖² + ½·l2·‖w‖² + l1·‖w‖₁ with w ≥ 0 and w_i = 0, over the
    `candidates` items of highest cosine to i (Ning & Karypis 2011,
    https://doi.org/10.1109/ICDM.2011.134, section "fsSLIM").
    """
    gram = np.asarray((data.matrix.T @ data.matrix).todense(), np.float32)
    norms = np.sqrt(np.maximum(np.diag(gram), 1.0))
    candidates = min(candidates, data.n_items - 1)
    rows, columns, values = [], [], []
    for start in range(0, data.n_items, _BLOCK):
        items = np.arange(start, min(start + _BLOCK, data.n_items))
        cosine = gram[items] / (norms[items, None] * norms)
        cosine[np.arange(len(items)), items] = -1.0
        near = np.argpartition(-cosine, candidates - 1, axis=1)[:, :candidates]
        solved = elastic_net(
            gram[near[:, :, None], near[:, None, :]], gram[items[:, None], near], l1, l2, sweeps
        )
        rows.append(near.ravel())
        columns.append(np.repeat(items, candidates))
        values.append(solved.ravel())
    weights = sparse.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=gram.shape,
        dtype=np.float32,
    )
    weights.eliminate_zeros()
    return lambda histories, users: np.asarray(
        (history_matrix(histories, weights.shape[0]) @ weights).todense(), np.float32
    )


def elastic_net(
    gram: np.ndarray, target: np.ndarray, l1: float, l2: float, sweeps: int
) -> np.ndarray:
    """Non-negative elastic nets by cyclic coordinate descent, many at once.

    w_c ← max(0, b_c − Σ_{d≠c} G_cd w_d − l1) / (G_cc + l2) (Friedman et al. 2010,
    https://doi.org/10.18637/jss.v033.i01).

    Args:
        gram: G = AᵀA of each problem, float32 [problems, n, n].
        target: b = Aᵀy of each, float32 [problems, n].
        l1: weight of Σ|w|.
        l2: weight of ½Σw².
        sweeps: passes over the coordinates.

    Returns:
        float32 [problems, n].
    """
    weights = np.zeros_like(target)
    diagonal = np.einsum("pcc->pc", gram) + l2
    for _ in range(sweeps):
        for place in range(target.shape[1]):
            others = np.einsum("pd,pd->p", gram[:, place], weights)
            others -= gram[:, place, place] * weights[:, place]
            free = target[:, place] - others - l1
            weights[:, place] = np.maximum(free, 0.0) / diagonal[:, place]
    return weights
