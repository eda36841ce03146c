"""Pairs of items that belong together, as parallel arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SOURCES", "Edges", "Pairs", "merge"]

SOURCES = ("co_consumption", "ease", "text", "vectors")

Edges = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Directed pairs, sorted by anchor, then by falling weight; no pair occurs twice.

    Attributes:
        anchor: int32 [n], rows of the catalogue.
        positive: int32 [n], rows of the catalogue, never the anchor itself.
        weight: float32 [n], above 0, at most 1: how sure the source is.
        source: int8 [n], places in SOURCES.
    """

    anchor: npt.NDArray[np.int32]
    positive: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    source: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        lengths = {len(self.anchor), len(self.positive), len(self.weight), len(self.source)}
        if len(lengths) != 1:
            raise ValueError(f"the arrays of Pairs must have one length, got {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.anchor)


def merge(edges: Sequence[tuple[int, Edges]]) -> Pairs:
    """One `Pairs` of several sources' edges; a pair that two sources found keeps the surer one."""
    anchor = np.concatenate([part[0] for _, part in edges])
    positive = np.concatenate([part[1] for _, part in edges])
    weight = np.concatenate([part[2] for _, part in edges])
    source = np.concatenate([np.full(len(part[0]), code, np.int8) for code, part in edges])
    order = np.lexsort((source, -weight, positive, anchor))
    anchor, positive, weight, source = (each[order] for each in (anchor, positive, weight, source))
    first = np.ones(len(anchor), bool)
    first[1:] = (anchor[1:] != anchor[:-1]) | (positive[1:] != positive[:-1])
    anchor, positive, weight, source = (each[first] for each in (anchor, positive, weight, source))
    order = np.lexsort((positive, -weight, anchor))
    return Pairs(
        anchor[order].astype(np.int32),
        positive[order].astype(np.int32),
        np.minimum(weight[order], 1).astype(np.float32),
        source[order],
    )
