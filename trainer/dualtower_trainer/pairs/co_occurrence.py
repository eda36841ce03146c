"""How many people took both of two items, and how much more often than chance.

    cosine   c_ij / (√(c_i c_j) + shrink)
    pmi      ln(c_ij N / (c_i c_j)) / ln(N / c_ij), cut at 0

The first without a window gives the neighbours of ItemKNN (Deshpande & Karypis 2004,
https://doi.org/10.1145/963770.963776), the second is pointwise mutual information, brought to at
most 1 (Bouma 2009, Normalized (pointwise) mutual information in collocation extraction, GSCL).

c_ij counts people, not events: a pair that one person takes again and again counts once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualtower_trainer.data import Interactions
from dualtower_trainer.pairs.neighbours import Block, row_blocks, sparse_products

__all__ = ["WEIGHTINGS", "co_consumption"]

WEIGHTINGS = ("cosine", "pmi")
_PAIRS_AT_ONCE = 4_000_000  # about 200 MB while they are made distinct


def co_consumption(
    interactions: Interactions,
    n_items: int,
    *,
    window_s: int | None = None,
    weighting: str = "cosine",
    shrink: float = 10.0,
    min_count: int = 2,
) -> Iterator[Block]:
    """Similarity of items by who took them: blocks of a symmetric matrix with a zero diagonal.

    Args:
        interactions: who took what and when.
        n_items: rows of the catalogue.
        window_s: only two events of one person at most so many seconds apart make a pair; None
            for any distance. Without timestamps (all 0) every distance is 0.
        weighting: one of WEIGHTINGS.
        shrink: cosine only; draws pairs with little evidence towards 0.
        min_count: pairs of fewer people are left out.

    Returns:
        (first row, sparse float32 [rows, n_items]) blocks, for `nearest`.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, got {weighting!r}")
    _, users = np.unique(interactions.users, return_inverse=True)
    items = np.asarray(interactions.items, np.int64)
    n_users = int(users.max()) + 1 if len(users) else 0
    taken = sparse.csr_matrix(
        (np.ones(len(users), np.float32), (users, items)), shape=(n_users, n_items)
    )
    taken.sum_duplicates()
    taken.data[:] = 1
    if window_s is None:
        by_item = sparse.csr_matrix(taken.T)
        counts = sparse_products(by_item, by_item)
    else:
        seconds = np.asarray(interactions.timestamps)
        counts = row_blocks(_within(users, items, seconds, n_items, window_s))
    people = np.asarray(taken.sum(axis=0), np.float64).ravel()

    def weighted() -> Iterator[Block]:
        for first, block in counts:
            entries = block.tocoo()
            keep = (entries.row + first != entries.col) & (entries.data >= min_count)
            rows, columns = entries.row[keep], entries.col[keep]
            together = entries.data[keep].astype(np.float64)
            product = people[rows + first] * people[columns]
            if weighting == "cosine":
                weights = together / (np.sqrt(product) + shrink)
            else:
                weights = _npmi(together, product, n_users)
            above = weights > 0
            yield (
                first,
                sparse.csr_matrix(
                    (weights[above].astype(np.float32), (rows[above], columns[above])),
                    shape=block.shape,
                ),
            )

    return weighted()


def _npmi(
    together: npt.NDArray[np.float64], product: npt.NDArray[np.float64], n_users: int
) -> npt.NDArray[np.float64]:
    surprise = np.log(together * n_users / product)
    most = np.log(n_users / together)  # 0 where everybody took both: as surprising as can be
    return np.where(most > 0, surprise / np.where(most > 0, most, 1), 1.0)


def _within(
    users: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
    seconds: npt.NDArray[np.int64],
    n_items: int,
    window_s: int,
) -> sparse.csr_matrix:
    """People who took both items within the window, float32 [items, items], symmetric."""
    counts = sparse.csr_matrix((n_items, n_items), dtype=np.float32)
    for keys in _pair_keys(users, items, seconds, n_items, window_s):
        pairs, people = np.unique(keys, return_counts=True)
        low, high = pairs // n_items, pairs % n_items
        counts += sparse.csr_matrix(
            (people.astype(np.float32), (low, high)), shape=(n_items, n_items)
        )
    return sparse.csr_matrix(counts + counts.T)


def _pair_keys(
    users: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
    seconds: npt.NDArray[np.int64],
    n_items: int,
    window_s: int,
) -> Iterator[npt.NDArray[np.int64]]:
    """low · n_items + high of each pair of items, once a person, in bounded pieces."""
    if not len(users):
        return
    order = np.lexsort((items, seconds, users))
    users, items, seconds = users[order], items[order], seconds[order] - seconds.min()
    span = int(seconds.max())
    place = users * (2 * span + 1) + seconds  # the window of one person never meets the next
    ends = np.searchsorted(place, place + min(window_s, span), side="right")
    following = ends - np.arange(len(users)) - 1
    total = np.concatenate([[0], np.cumsum(following)])
    open_user, open_keys = -1, np.empty(0, np.int64)
    start = 0
    while start < len(users):
        stop = int(np.searchsorted(total, total[start] + _PAIRS_AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), len(users))
        first = np.repeat(np.arange(start, stop), following[start:stop])
        begun = np.repeat(total[start:stop] - total[start], following[start:stop])
        second = first + 1 + np.arange(len(first)) - begun
        low, high = np.minimum(items[first], items[second]), np.maximum(items[first], items[second])
        # the pairs of a person whose events began in the piece before are counted with these
        keys = np.concatenate([open_keys, low * n_items + high])
        owners = np.concatenate([np.full(len(open_keys), open_user), users[first]])
        owners, keys = _distinct(owners, keys)
        open_user = int(users[stop]) if stop < len(users) else -1
        open_keys = keys[owners == open_user]
        yield keys[owners != open_user]
        start = stop


def _distinct(
    owners: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each (owner, key) once, sorted."""
    order = np.lexsort((keys, owners))
    owners, keys = owners[order], keys[order]
    first = np.ones(len(keys), bool)
    first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
    return owners[first], keys[first]
