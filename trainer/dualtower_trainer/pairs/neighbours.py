"""The nearest items of each item, a block of rows at a time, so that no n² matrix is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualtower_trainer.pairs.mined import Edges

__all__ = ["nearest", "row_blocks", "sparse_products", "vector_products"]

_BLOCK_ROWS = 512

Block = tuple[int, Any]  # the first row, and float32 [rows, n], dense or sparse


def vector_products(vectors: npt.NDArray[np.float32]) -> Iterator[Block]:
    """(first row, float32 [rows, n]) blocks of the cosines between rows of [n, dim]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    for first in range(0, len(unit), _BLOCK_ROWS):
        yield first, unit[first : first + _BLOCK_ROWS] @ unit.T


def sparse_products(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Iterator[Block]:
    """(first row, sparse [rows, n]) blocks of left · rightᵀ."""
    transposed = sparse.csr_matrix(right.T)
    for first in range(0, left.shape[0], _BLOCK_ROWS):
        yield first, left[first : first + _BLOCK_ROWS] @ transposed


def row_blocks(matrix: Any) -> Iterator[Block]:
    """(first row, rows) blocks of a matrix [n, n] that is there already, dense or sparse."""
    for first in range(0, matrix.shape[0], _BLOCK_ROWS):
        yield first, matrix[first : first + _BLOCK_ROWS]


def nearest(
    blocks: Iterable[Block],
    count: int,
    *,
    minimum: float,
    groups: npt.NDArray[np.int32] | None = None,
) -> Edges:
    """The `count` highest entries of each row, never its own, as (rows, columns, values).

    Args:
        blocks: (first row, similarities of these rows to all n items).
        count: at most so many a row.
        minimum: entries below it are left out; so is everything that is not above 0.
        groups: int32 [n]; a column in the row's own group is left out.

    Returns:
        int64, int64 and float32 arrays; ties go to the lower column.
    """
    found: list[Edges] = []
    for first, block in blocks:
        cut = _cut_sparse if sparse.issparse(block) else _cut_dense
        rows, columns, values = cut(block, first, count, groups)
        keep = (values > 0) & (values >= minimum)
        rows, columns, values = rows[keep], columns[keep], values[keep]
        order = np.lexsort((columns, -values, rows))
        rows, columns, values = rows[order], columns[order], values[order]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)  # within the row's own run
        best = place < count
        found.append((rows[best], columns[best], values[best]))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    return (
        np.concatenate([edges[0] for edges in found]),
        np.concatenate([edges[1] for edges in found]),
        np.concatenate([edges[2] for edges in found]),
    )


def _cut_sparse(block: Any, first: int, count: int, groups: npt.NDArray[np.int32] | None) -> Edges:
    """All entries but those of a row's own group."""
    entries = block.tocoo()
    rows, columns = entries.row.astype(np.int64) + first, entries.col.astype(np.int64)
    other = columns != rows if groups is None else groups[columns] != groups[rows]
    return rows[other], columns[other], entries.data[other].astype(np.float32)


def _cut_dense(
    block: npt.NDArray[np.float32], first: int, count: int, groups: npt.NDArray[np.int32] | None
) -> Edges:
    """Entries that may be among the highest `count` of their row, outside its own group."""
    names = np.arange(block.shape[1]) if groups is None else groups
    own = names[first : first + len(block), None] == names
    block = np.where(own, np.float32(-np.inf), block)
    keep = block > 0
    if count < block.shape[1]:
        # of a tie at the cut all are kept, so that the lower columns can win it
        keep &= block >= -np.partition(-block, count - 1, axis=1)[:, count - 1 : count]
    rows, columns = np.nonzero(keep)
    return rows + first, columns, block[rows, columns]
