"""Both towers as two functions over one catalogue: all that ranking and explaining need.

A RUN gives them by its Keras models, a bundle by its SavedModels (dualtower_export); what is built
on top cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a phone's towers need no TensorFlow
    from dualtower_trainer.checkpoint import Trained

__all__ = ["Towers", "towers_of"]


@dataclass(frozen=True, eq=False)
class Towers:
    """A catalogue with its vectors, and the two towers.

    Attributes:
        item_ids: str [items].
        blocked: bool [items], never to be recommended.
        vectors: float32 [items, dim], of length 1; the score is their dot product with a user's.
        embed_histories: catalogue rows, most recent first, to float32 [histories, dim]; an empty
            history gives the learned fallback.
        embed_texts: texts of items without an id to float32 [texts, dim].
    """

    item_ids: np.ndarray
    blocked: np.ndarray
    vectors: np.ndarray
    embed_histories: Callable[[list[np.ndarray]], np.ndarray]
    embed_texts: Callable[[Sequence[str]], np.ndarray]


def towers_of(trained: Trained) -> Towers:
    """The towers of a RUN."""
    return Towers(
        item_ids=trained.item_ids,
        blocked=trained.blocked,
        vectors=trained.vectors,
        embed_histories=trained.embed_histories,
        embed_texts=trained.embed_texts,
    )
