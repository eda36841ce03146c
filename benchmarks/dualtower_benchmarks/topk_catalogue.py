"""A made-up catalogue that is as skewed and as clustered as learnt ones, and people to ask for.

Clusters have two levels, √n/2 groups over 2√n clusters, whose sizes fall as rank^-0.6. An item's
direction is its cluster's plus noise of the same size as the cluster's own distance to its group
(a cosine of about .7 between neighbours). The length of its taste, which says how strongly it is
recommended to anyone, is log-normal with the median .1 and the deviation .7 that a run on a shop's
log has, and the rest fills up to length 1. A person's taste is the mean direction of five items,
three of them of one cluster; these five are excluded from the list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Catalogue", "make_catalogue", "true_best"]

_TAKEN = 5
_NOISE = 0.8
_BLOCK = 50_000


@dataclass(frozen=True)
class Catalogue:
    """Items and people.

    Attributes:
        vectors: float32 [items, dim + 2], taste, weight and rest.
        users: float32 [users, dim + 2], of length 1, weight and rest 0.
        seen: int32 [users, 5], what each person has taken.
    """

    vectors: np.ndarray
    users: np.ndarray
    seen: np.ndarray


def make_catalogue(items: int, dim: int, users: int, *, seed: int) -> Catalogue:
    """Draws a catalogue with `dim` numbers of taste."""
    random = np.random.default_rng(seed)
    clusters = max(4, int(2 * items**0.5))
    groups = random.normal(size=(max(2, clusters // 4), dim))
    centres = groups[random.integers(len(groups), size=clusters)]
    centres += _NOISE * random.normal(size=centres.shape)
    share = np.arange(1, clusters + 1) ** -0.6
    cluster = random.choice(clusters, items, p=share / share.sum())
    tastes = np.empty((items, dim), np.float32)
    for start in range(0, items, _BLOCK):
        part = centres[cluster[start : start + _BLOCK]]
        part = part + _NOISE * random.normal(size=part.shape)
        tastes[start : start + _BLOCK] = part / np.linalg.norm(part, axis=1, keepdims=True)
    seen = random.integers(items, size=(users, _TAKEN))
    order = np.argsort(cluster, kind="stable")
    size = np.bincount(cluster, minlength=clusters)
    first = np.cumsum(size) - size
    home = cluster[seen[:, 0]]
    for place in (1, 2):
        seen[:, place] = order[first[home] + (random.random(users) * size[home]).astype(int)]
    people = tastes[seen].mean(axis=1)
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    tastes *= np.minimum(0.1 * np.exp(0.7 * random.normal(size=(items, 1))), 0.95)
    rest = np.sqrt(1 - (tastes**2).sum(axis=1, keepdims=True))
    vectors = np.concatenate([tastes, np.zeros_like(rest), rest], axis=1)
    return Catalogue(
        vectors=vectors.astype(np.float32),
        users=np.pad(people, [(0, 0), (0, 2)]).astype(np.float32),
        seen=seen.astype(np.int32),
    )


def true_best(catalogue: Catalogue, k: int, *, without_seen: bool) -> list[np.ndarray]:
    """The rows of each person's exact list, by brute force, a few people at a time."""
    best = []
    for start in range(0, len(catalogue.users), 8):
        some = slice(start, start + 8)
        scores = catalogue.users[some] @ catalogue.vectors.T
        if without_seen:
            np.put_along_axis(scores, catalogue.seen[some], -np.inf, axis=1)
        best += [np.argpartition(-row, k)[:k] for row in scores]
    return best
