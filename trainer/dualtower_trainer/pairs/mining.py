"""Positive pairs from behaviour and from content.

co_consumption   people who took the one took the other (with or without a time window)
ease             the closed-form item-item model (Steck 2019, https://arxiv.org/abs/1905.03375)
text             TF-IDF neighbours
vectors          neighbours by vectors of any encoder
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from dualtower.errors import DataError
from dualtower_trainer.data import Interactions
from dualtower_trainer.pairs.co_occurrence import WEIGHTINGS, co_consumption
from dualtower_trainer.pairs.mined import SOURCES, Edges, Pairs, merge
from dualtower_trainer.pairs.neighbours import (
    Block,
    nearest,
    row_blocks,
    sparse_products,
    vector_products,
)
from dualtower_trainer.tfidf import tfidf_matrix

__all__ = ["MiningOptions", "mine_positives"]


@dataclass(frozen=True)
class MiningOptions:
    """Where positives come from.

    Attributes:
        sources: of SOURCES; a pair found twice keeps the larger weight.
        per_anchor: at most so many positives of each source for an item.
        window_s: co_consumption: seconds between two events that make a pair; None for any.
        weighting: co_consumption: "cosine" or "pmi".
        shrink: co_consumption with cosine: draws pairs with little evidence towards 0.
        min_count: co_consumption: people that a pair needs.
        regularisation: ease: λ. Takes memory of 8 · items² bytes, unlike the others.
        min_similarity: text and vectors: the least cosine.
    """

    sources: tuple[str, ...] = ("co_consumption",)
    per_anchor: int = 10
    window_s: int | None = None
    weighting: str = "cosine"
    shrink: float = 10.0
    min_count: int = 2
    regularisation: float = 200.0
    min_similarity: float = 0.3

    def __post_init__(self) -> None:
        unknown = [source for source in self.sources if source not in SOURCES]
        if unknown or not self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError(
                f"sources must name some of {', '.join(SOURCES)}, each once, got {self.sources}"
            )
        if self.weighting not in WEIGHTINGS:
            raise ValueError(
                f"weighting must be one of {', '.join(WEIGHTINGS)}, got {self.weighting!r}"
            )
        for name in ("per_anchor", "min_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.window_s is not None and self.window_s < 0:
            raise ValueError(f"window_s must not be negative, got {self.window_s}")
        if self.shrink < 0 or self.regularisation <= 0:
            raise ValueError(
                "shrink must not be negative and regularisation must be above 0, got "
                f"{self.shrink} and {self.regularisation}"
            )
        if not 0 < self.min_similarity < 1:
            raise ValueError(f"min_similarity must be between 0 and 1, got {self.min_similarity}")


def mine_positives(
    n_items: int,
    options: MiningOptions | None = None,
    *,
    interactions: Interactions | None = None,
    texts: Sequence[str] | None = None,
    vectors: npt.NDArray[np.float32] | None = None,
    groups: npt.NDArray[np.int32] | None = None,
) -> Pairs:
    """Pairs of items that belong together, from each of `options.sources`.

    Args:
        n_items: rows of the catalogue.
        options: None takes the defaults of `MiningOptions`.
        interactions: the training part of a split; for co_consumption and ease.
        texts: one an item; for text.
        vectors: float32 [n_items, dim], zero where an item has none; for vectors.
        groups: int32 [n_items] of `near_duplicate_groups`; a pair inside one group teaches nothing
            and is left out. None keeps such pairs.

    Raises:
        ValueError: a source whose input was not given, or an input of another length.
        DataError: no pair was found.

    Example:
        pairs = mine_positives(len(catalogue), interactions=split.train)
        batch = DiverseBatches(pairs, groups, batch_size=256).batch(seed=0, step=1)
    """
    options = options or MiningOptions()
    for name, given in (("texts", texts), ("vectors", vectors), ("groups", groups)):
        if given is not None and len(given) != n_items:
            raise ValueError(f"{name} must be one an item ({n_items}), got {len(given)}")
    edges: list[tuple[int, Edges]] = []
    for source in options.sources:
        if source in ("co_consumption", "ease"):
            if interactions is None:
                raise ValueError(f"the source {source!r} needs interactions")
            found = _behaviour(source, interactions, n_items, options, groups)
        else:
            blocks = _content(source, texts, vectors)
            found = nearest(
                blocks, options.per_anchor, minimum=options.min_similarity, groups=groups
            )
        edges.append((SOURCES.index(source), found))
    pairs = merge(edges)
    if not len(pairs):
        raise DataError(
            f"no pair of items was found by {', '.join(options.sources)}; lower min_count or "
            "min_similarity, widen window_s, or add a source"
        )
    return pairs


def _behaviour(
    source: str,
    interactions: Interactions,
    n_items: int,
    options: MiningOptions,
    groups: npt.NDArray[np.int32] | None,
) -> Edges:
    if source == "co_consumption":
        similarity = co_consumption(
            interactions,
            n_items,
            window_s=options.window_s,
            weighting=options.weighting,
            shrink=options.shrink,
            min_count=options.min_count,
        )
        return nearest(similarity, options.per_anchor, minimum=0.0, groups=groups)
    weights = _ease(interactions, n_items, options.regularisation)
    largest = float(weights.max(initial=0))
    rows, columns, values = nearest(
        row_blocks(weights), options.per_anchor, minimum=0.0, groups=groups
    )
    return rows, columns, values / np.float32(largest or 1)


def _content(
    source: str, texts: Sequence[str] | None, vectors: npt.NDArray[np.float32] | None
) -> Iterator[Block]:
    if source == "text":
        if texts is None:
            raise ValueError("the source 'text' needs texts")
        features = tfidf_matrix(texts)
        return sparse_products(features, features)
    if vectors is None:
        raise ValueError("the source 'vectors' needs vectors")
    return vector_products(vectors)


def _ease(interactions: Interactions, n_items: int, regularisation: float) -> np.ndarray:
    """-P / diag(P) without its diagonal, P the inverse of XᵀX + λI; float32 [items, items]."""
    users = np.unique(interactions.users, return_inverse=True)[1]
    taken = sparse.csr_matrix(
        (np.ones(len(users), np.float32), (users, interactions.items)),
        shape=(len(users), n_items),
    )
    taken.sum_duplicates()
    taken.data[:] = 1
    gram = (taken.T @ taken).toarray()
    gram[np.diag_indices_from(gram)] += np.float32(regularisation)
    inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0)
    return inverse
