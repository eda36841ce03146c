"""How much two embedding spaces disagree about the same texts. Pure.

The axes of a space mean nothing: trained twice, the same tower gives vectors that are rotated
against each other, and the cosine between a text's old and new vector is noise. What both spaces do
say is which texts are close to which. So the *similarities within* each space are compared:

- `rank_agreement`: Spearman's correlation of all pairwise cosines, as in representational
  similarity analysis (Kriegeskorte, Mur and Bandettini 2008, doi:10.3389/neuro.06.004.2008). 1: the
  same order of all pairs; 0: nothing in common.
- `neighbour_overlap`: the share of each text's k nearest that are its k nearest in the other space,
  averaged (as in Wendlandt, Kummerfeld and Mihalcea 2018, doi:10.18653/v1/N18-1190). It looks at
  the near ones alone, which are what a recommender shows.

Both compare spaces of different dimensions, and rotations, reflections and scales change neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["neighbour_overlap", "rank_agreement"]

Vectors = NDArray[Any]  # [texts, dim]


def rank_agreement(old: Vectors, new: Vectors) -> float:
    """Spearman's correlation of the pairwise cosines; NaN for less than three texts.

    Args:
        old: [texts, dim] of one space.
        new: [texts, any dim] of the other, the same texts.
    """
    if len(old) != len(new):
        raise ValueError(f"{len(old)} and {len(new)} vectors are not of the same texts")
    upper = np.triu_indices(len(old), 1)
    ranks = [_ranks(_cosines(one)[upper]) for one in (old, new)]
    centred = [one - one.mean() for one in ranks if len(one)]
    if len(old) < 3 or not all(one.any() for one in centred):
        return float("nan")
    first, second = centred
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def neighbour_overlap(old: Vectors, new: Vectors, k: int = 10) -> float:
    """Mean share of the k nearest texts that both spaces agree on; NaN without neighbours.

    `k` is cut to a third of the other texts: of all of them any two spaces would agree on.
    """
    k = min(k, (len(old) - 1) // 3)
    if k < 1:
        return float("nan")
    near = [_nearest(_cosines(one), k) for one in (old, new)]
    shared = [len(set(first) & set(second)) for first, second in zip(*near, strict=True)]
    return float(np.mean(shared) / k)


def _cosines(vectors: Vectors) -> NDArray[Any]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.asarray(vectors, np.float64) / np.where(norms > 0, norms, 1.0)
    return np.round(unit @ unit.T, 9)  # equal vectors are ties, whatever the last bits say


def _nearest(cosines: NDArray[Any], k: int) -> NDArray[Any]:
    others = cosines.copy()
    np.fill_diagonal(others, -np.inf)
    return np.argsort(-others, axis=1, kind="stable")[:, :k]


def _ranks(values: NDArray[Any]) -> NDArray[Any]:
    """Ranks from 1, ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: NDArray[Any] = (last - (counts - 1) / 2)[inverse]
    return mean
