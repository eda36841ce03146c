"""The best rows of a table for each query: exact, in bounded memory. Pure numpy.

    for each chunk of rows
        coarse scores   one float32 matrix product
        floor           the k-th largest maximum of groups of scores: k rows score at least that
        candidates      whoever comes within the rounding of the floor
    the candidates' scores in float64, rounded to float32; of equal ones the lower row first

A matrix product rounds a row's score in a way that depends on where the row stands, so that equal
vectors may differ in their last bit. The second scoring sees a query and a row and nothing else:
results are those of brute force, whatever the chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Best", "best_rows", "ranked"]

Rows = NDArray[np.int64]
Best = tuple[Rows, NDArray[np.float32]]  # rows and their scores, best first

_SCORES_AT_A_TIME = 1 << 21  # 8 MiB; with fewer, a matrix product's threads wait for each other
_MOST_SCORES_AT_A_TIME = 1 << 23  # of long lists
_GROUP = 32  # scores of which only the largest is ranked at first
_GROUPS_FOR_EACH = 2  # of the k results, at least, so that the floor lies high


def best_rows(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    barred: Sequence[Rows],
    *,
    longest: float,
    rows: Rows | None = None,
) -> list[Best]:
    """The k best rows for each query, or all that are left.

    Args:
        vectors: [n, dim].
        queries: [batch, dim].
        k: at least 1.
        barred: for each query the rows that must not be found.
        longest: of the lengths of the vectors.
        rows: the only rows that may be found, rising; None for all.
    """
    count = len(vectors) if rows is None else len(rows)
    if not count:
        return [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in queries]
    narrowest = _GROUP * _GROUPS_FOR_EACH * min(k, count)
    at_a_time = max(1, min(256, _MOST_SCORES_AT_A_TIME // narrowest))
    best: list[Best] = []
    for start in range(0, len(queries), at_a_time):
        part = slice(start, start + at_a_time)
        places = [_places(rows, some) for some in barred[part]]
        step = max(_SCORES_AT_A_TIME // len(places), narrowest) // _GROUP * _GROUP
        best += _best_of_part(vectors, queries[part], k, places, longest, rows, step)
    return best


def ranked(vectors: NDArray[np.float32], query: NDArray[np.float32], rows: Rows, k: int) -> Best:
    """The k best of some rows for one query, of equal scores the lower row first."""
    products = np.multiply(vectors[rows], query, dtype=np.float64)
    scores = products.sum(axis=1).astype(np.float32)
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def _places(rows: Rows | None, barred: Rows) -> Rows:
    """Where the barred rows stand among `rows`."""
    if rows is None or not len(rows):
        return barred if rows is None else barred[:0]
    places = np.searchsorted(rows, barred)
    found: Rows = places[rows[np.minimum(places, len(rows) - 1)] == barred]
    return found


def _best_of_part(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    barred: Sequence[Rows],
    longest: float,
    rows: Rows | None,
    step: int,
) -> list[Best]:
    slack = _slack(queries, longest)
    of, at, coarse = _candidates(vectors, queries, k, barred, slack, rows, step)
    order = np.argsort(of, kind="stable")
    bounds = np.searchsorted(of[order], np.arange(1, len(queries)))
    best = []
    for query, mine, margin in zip(queries, np.split(order, bounds), slack, strict=True):
        near = at[mine[_near(coarse[mine], k, margin)]]
        best.append(ranked(vectors, query, near if rows is None else rows[near], k))
    return best


def _candidates(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    barred: Sequence[Rows],
    slack: NDArray[np.float32],
    rows: Rows | None,
    step: int,
) -> tuple[Rows, Rows, NDArray[np.float32]]:
    """Who may be among the k best: of which query, at which place, with which coarse score."""
    floor = np.full(len(queries), -np.inf, np.float32)
    found: list[tuple[Rows, Rows, NDArray[np.float32]]] = []
    count = len(vectors) if rows is None else len(rows)
    for start in range(0, count, step):
        stop = min(start + step, count)
        chunk = vectors[start:stop] if rows is None else vectors[rows[start:stop]]
        scores = chunk @ queries.T  # [rows, batch]: twice as fast as its transpose
        for query, places in enumerate(barred):
            here = places[(places >= start) & (places < stop)]
            scores[here - start, query] = -np.inf
        np.maximum(floor, _floor(scores, k), out=floor)
        at, of = np.divmod(np.flatnonzero(scores >= floor - slack), len(queries))
        found.append((of, at + start, scores[at, of]))
    of, at, coarse = (np.concatenate(part) for part in zip(*found, strict=True))
    is_free = coarse > -np.inf
    return of[is_free], at[is_free], coarse[is_free]


def _near(coarse: NDArray[np.float32], k: int, margin: np.float32) -> NDArray[np.bool_]:
    """Who may be among the k best: all but those that k others beat by more than the margin."""
    if len(coarse) <= k:
        return np.ones(len(coarse), bool)
    kth = np.partition(coarse, len(coarse) - k)[len(coarse) - k]
    near: NDArray[np.bool_] = coarse >= kth - margin
    return near


def _slack(queries: NDArray[np.float32], longest: float) -> NDArray[np.float32]:
    """How far two float32 scores of one row may lie apart, twice; float32 [batch].

    Higham, Accuracy and Stability of Numerical Algorithms, 3.1: a dot product of any order is off
    by at most about dim · 2⁻²⁴ · |query| · |row|, and where numbers vanish by dim of the smallest.
    The rest is generous.
    """
    dim = queries.shape[1]
    lengths = np.sqrt(np.einsum("bd,bd->b", queries, queries))
    rounding = (dim + 2) * 2.0**-22 * longest * lengths
    return np.asarray(rounding + 4 * dim * np.finfo(np.float32).tiny, np.float32)


def _floor(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """For each column of [rows, batch] a score that at least k of its entries reach."""
    count, batch = scores.shape
    groups = count // _GROUP
    if groups < k:
        return np.full(batch, -np.inf, np.float32)
    largest = scores[: groups * _GROUP].reshape(_GROUP, groups, batch).max(axis=0)
    floor: NDArray[np.float32] = np.partition(largest, groups - k, axis=0)[groups - k]
    return floor
