"""A made-up catalogue that is as skewed and as clustered as learnt ones, and people to ask for.

Clusters have two levels, √n/2 groups over 2√n clusters, whose sizes fall as rank^-0.6. An item's
direction is its cluster's plus noise of the same size as the cluster's own distance to its group
(a cosine of about .7 between neighbours). The length of its taste, which says how strongly it is
recommended to anyone, is log-normal with the median .1 and the deviation .7 that a run on a shop's
log has; an embedding is the taste, its weight (0 here) and the rest, which fills up to length 1.
A person's taste is the mean direction of five items, three of them of one cluster; the recommender
leaves these five out of the list.

Tastes are drawn block by block into a file, so that 10⁷ of them take no memory to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualtower.files import atomic_file, atomic_folder

__all__ = ["Catalogue", "make_catalogue", "open_catalogue", "with_rest"]

_TAKEN = 5
_NOISE = 0.8
_BLOCK = 50_000


@dataclass(frozen=True)
class Catalogue:
    """Items and people.

    Attributes:
        tastes: float32 [items, dim], none longer than .95; a memory map.
        users: float32 [users, dim], of length 1.
        seen: int32 [users, 5], what each person has taken.
    """

    tastes: NDArray[np.float32]
    users: NDArray[np.float32]
    seen: NDArray[np.int32]


def make_catalogue(folder: Path, items: int, dim: int, users: int, *, seed: int) -> Catalogue:
    """Draws a catalogue into a folder, whole or not at all; one that is there is taken."""
    if not folder.exists():
        with atomic_folder(folder) as temporary:
            _draw(temporary, items, dim, users, seed)
    return open_catalogue(folder)


def open_catalogue(folder: Path) -> Catalogue:
    """What `make_catalogue` left."""
    return Catalogue(
        tastes=np.load(folder / "tastes.npy", mmap_mode="r"),
        users=np.load(folder / "users.npy"),
        seen=np.load(folder / "seen.npy"),
    )


def with_rest(tastes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings float32 [n, dim + 2] of tastes [n, dim]: weight 0, and the rest up to length 1."""
    vectors = np.zeros((len(tastes), tastes.shape[1] + 2), np.float32)
    for start in range(0, len(tastes), _BLOCK):
        part = slice(start, start + _BLOCK)
        vectors[part, :-2] = tastes[part]
        vectors[part, -1] = np.sqrt(1 - (tastes[part] ** 2).sum(axis=1))
    return vectors


def _draw(folder: Path, items: int, dim: int, users: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    clusters = max(4, int(2 * items**0.5))
    groups = random.normal(size=(max(2, clusters // 4), dim))
    centres = groups[random.integers(len(groups), size=clusters)]
    centres += _NOISE * random.normal(size=centres.shape)
    share = np.arange(1, clusters + 1) ** -0.6
    cluster = random.choice(clusters, items, p=share / share.sum()).astype(np.int32)
    tastes = np.lib.format.open_memmap(
        folder / "tastes.npy", mode="w+", dtype=np.float32, shape=(items, dim)
    )
    for start in range(0, items, _BLOCK):
        part = centres[cluster[start : start + _BLOCK]]
        part = part + _NOISE * random.normal(size=part.shape)
        length = np.minimum(0.1 * np.exp(0.7 * random.normal(size=(len(part), 1))), 0.95)
        part *= length / np.linalg.norm(part, axis=1, keepdims=True)
        tastes[start : start + _BLOCK] = part
    seen = random.integers(items, size=(users, _TAKEN))
    order = np.argsort(cluster, kind="stable")
    size = np.bincount(cluster, minlength=clusters)
    first = np.cumsum(size) - size
    home = cluster[seen[:, 0]]
    for place in (1, 2):
        seen[:, place] = order[first[home] + (random.random(users) * size[home]).astype(int)]
    taken = np.asarray(tastes[seen], np.float64)
    people = (taken / np.linalg.norm(taken, axis=2, keepdims=True)).mean(axis=1)
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    tastes.flush()
    _save(folder / "users.npy", people.astype(np.float32))
    _save(folder / "seen.npy", seen.astype(np.int32))


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array)
