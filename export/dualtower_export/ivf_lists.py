"""An inverted file over the tastes of a catalogue, in numpy: which item lies in which list.

A user scores items by inner product with their tastes, whose lengths differ by an order of
magnitude: a long one is recommended to many. Lists by direction alone would mix long and short.
They are therefore made in the space where the inner product is a distance (Bachrach et al. 2014,
https://doi.org/10.1145/2645710.2645741): the taste, and what fills it up to length 1. A user has 0
there, so only the taste of a centroid ranks the lists.

Lists are visited by what their best item may score: the mean of the items' scores plus some of
their spread, `user · centre + SPREAD · deviation`. On skewed catalogues that takes about a quarter
fewer items for the same recall than the mean alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualtower.errors import UsageError
from dualtower_export.k_means import k_means, nearest

__all__ = ["IvfLists", "build_lists", "check_lists", "default_lists", "recall_of_probes"]

_SPREAD = 2.0
_LISTS_PER_ROOT = 2.0


@dataclass(frozen=True)
class IvfLists:
    """Lists of catalogue rows; none is empty, and each is ascending.

    Attributes:
        centres: float32 [lists, taste], the mean taste of a list.
        bonus: float32 [lists], what its spread adds to a list's score.
        members: int32 [n], the rows, list behind list.
        starts: int32 [lists], where a list begins in `members`.
        sizes: int32 [lists].
    """

    centres: np.ndarray
    bonus: np.ndarray
    members: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    @property
    def list_of_member(self) -> np.ndarray:
        """int32 [n], the list of each entry of `members`."""
        return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)


def default_lists(items: int) -> int:
    """Twice the root of the items: where visiting the lists and reading them cost alike."""
    return max(1, min(items, round(_LISTS_PER_ROOT * items**0.5)))


def check_lists(lists: int, items: int) -> None:
    """Refuses more lists than items.

    Raises:
        UsageError: it is so.
    """
    if lists > items:
        raise UsageError(
            f"ivf_lists is {lists}, but only {items} items can be recommended; "
            "set export.ivf_lists=0, which chooses by their number, or export.index=exact"
        )


def build_lists(tastes: np.ndarray, rows: np.ndarray, lists: int, *, seed: int) -> IvfLists:
    """Sorts items into lists.

    Args:
        tastes: float32 [items, taste] of the whole catalogue, each at most 1 long.
        rows: int [n], ascending, those that may be recommended.
        lists: how many to make; 0 takes `default_lists`. Where items coincide there may be fewer.
        seed: of k-means.

    Raises:
        UsageError: more lists than items.
    """
    check_lists(lists, len(rows))
    lists = lists or default_lists(len(rows))
    chosen = np.ascontiguousarray(tastes[rows], np.float32)
    squares = (chosen**2).sum(axis=1, keepdims=True)
    lifted = np.concatenate([chosen, np.sqrt(np.maximum(1 - squares, 0))], axis=1)
    member, _ = nearest(lifted, k_means(lifted, lists, seed=seed))
    _, member = np.unique(member, return_inverse=True)
    sizes = np.bincount(member).astype(np.int32)
    order = np.argsort(member, kind="stable")
    starts = (np.cumsum(sizes) - sizes).astype(np.int32)
    centres = np.add.reduceat(chosen[order], starts, axis=0, dtype=np.float64) / sizes[:, None]
    apart = ((chosen[order] - centres[member[order]]) ** 2).sum(axis=1)
    deviation = np.sqrt(np.add.reduceat(apart, starts) / sizes / tastes.shape[1])
    return IvfLists(
        centres=centres.astype(np.float32),
        bonus=(_SPREAD * deviation).astype(np.float32),
        members=np.asarray(rows)[order].astype(np.int32),
        starts=starts,
        sizes=sizes,
    )


def recall_of_probes(lists: IvfLists, users: np.ndarray, best: list[np.ndarray]) -> np.ndarray:
    """The share of the true best items found by 1, 2, … lists, float64 [lists].

    Args:
        lists: the index.
        users: float32 [users, taste].
        best: catalogue rows of each user's true list.
    """
    place = np.empty(int(lists.members.max()) + 1, np.int32)
    place[lists.members] = lists.list_of_member
    visited = np.zeros(len(lists.sizes), np.int64)
    for user, rows in zip(users, best, strict=True):
        order = np.argsort(-(lists.centres @ user + lists.bonus), kind="stable")
        turn = np.empty(len(order), np.int64)
        turn[order] = np.arange(len(order))
        np.add.at(visited, turn[place[rows]], 1)
    return np.cumsum(visited) / max(1, visited.sum())
