"""Lloyd's k-means in numpy, seeded, in blocks that fit into a cache.

Lloyd 1982 (https://doi.org/10.1109/TIT.1982.1056489). The centroids are learnt on a sample, as
large as they need, and empty ones are moved onto points that lie worst.
"""

from __future__ import annotations

import numpy as np

__all__ = ["k_means", "nearest"]

_BLOCK = 8_192  # points whose distances are held at a time


def k_means(
    points: np.ndarray,
    clusters: int,
    *,
    seed: int,
    rounds: int = 10,
    points_per_cluster: int = 64,
) -> np.ndarray:
    """Centroids float32 [clusters, dim] of points float32 [n, dim], with clusters at most n.

    Args:
        points: finite.
        clusters: how many.
        seed: draws the sample and the first centroids.
        rounds: of Lloyd; fewer where nothing moves any more.
        points_per_cluster: of the sample.
    """
    random = np.random.default_rng(seed)
    size = min(len(points), max(clusters * points_per_cluster, clusters))
    sample = points
    if size < len(points):
        sample = points[np.sort(random.choice(len(points), size, replace=False))]
    centroids = sample[random.choice(len(sample), clusters, replace=False)].astype(np.float32)
    before = np.full(len(sample), -1, np.int32)
    for _ in range(rounds):
        member, distance = nearest(sample, centroids)
        if np.array_equal(member, before):
            break
        before = member
        centroids = _means(sample, member, centroids)
        empty = np.flatnonzero(np.bincount(member, minlength=clusters) == 0)
        if len(empty):
            centroids[empty] = sample[np.argsort(-distance, kind="stable")[: len(empty)]]
    return centroids


def nearest(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centroid of each point, int32 [n], and its squared distance, float32 [n]."""
    member = np.empty(len(points), np.int32)
    distance = np.empty(len(points), np.float32)
    half = (centroids**2).sum(axis=1, dtype=np.float32) / 2
    table = np.ascontiguousarray(centroids.T)
    for start in range(0, len(points), _BLOCK):
        part = points[start : start + _BLOCK]
        closeness = part @ table - half
        best = closeness.argmax(axis=1)
        member[start : start + _BLOCK] = best
        own = closeness[np.arange(len(part)), best]
        distance[start : start + _BLOCK] = (part**2).sum(axis=1) - 2 * own
    return member, np.maximum(distance, 0)


def _means(points: np.ndarray, member: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The mean of each cluster; an empty one keeps its centroid."""
    order = np.argsort(member, kind="stable")
    found, start = np.unique(member[order], return_index=True)
    sums = np.add.reduceat(points[order], start, axis=0, dtype=np.float32)
    counts = np.diff(np.append(start, len(points)))
    means = before.copy()
    means[found] = sums / counts[:, None]
    return means
