"""Pairs of texts from a log: items that go together, or a history and what came next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualtower.errors import DataError
from dualtower_trainer.data import Interactions
from dualtower_trainer.finetune_config import FinetuneConfig
from dualtower_trainer.pairs import MiningOptions, Pairs, mine_positives

__all__ = ["history_pairs", "text_pairs"]

_SEPARATOR = ", "


def text_pairs(
    interactions: Interactions, texts: Sequence[str], config: FinetuneConfig
) -> tuple[list[str], Pairs]:
    """The texts and pairs that `config.pairs` asks for; pairs are rows of the returned texts.

    Args:
        interactions: of training only; what is held out must not be in it.
        texts: of the catalogue's items.
        config: section [finetune].

    Raises:
        DataError: no pair is found.
    """
    if config.pairs == "items":
        return list(texts), mine_positives(len(texts), MiningOptions(), interactions=interactions)
    return history_pairs(
        interactions, texts,
        items=config.history_items, per_user=config.histories_per_user, seed=config.seed,
    )  # fmt: skip


def history_pairs(
    interactions: Interactions, texts: Sequence[str], *, items: int, per_user: int, seed: int
) -> tuple[list[str], Pairs]:
    """Each history as one text, most recent first, and the item that came next.

    Args:
        interactions: in any order; those of one user and second keep theirs.
        texts: of the catalogue's items.
        items: at most so many items make up a history.
        per_user: at most so many of a user's moments, drawn evenly.
        seed: of that draw.

    Returns:
        the item texts followed by the histories' texts; pairs from histories to items.

    Raises:
        DataError: nobody took two different items.
    """
    order = np.lexsort((interactions.timestamps, interactions.users))
    users, rows = interactions.users[order], interactions.items[order]
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]][: len(users)])
    random = np.random.default_rng(seed)
    joined, nexts = [], []
    for begin, end in zip(starts, [*starts[1:], len(users)], strict=True):
        moments = np.arange(begin + 1, end)
        if len(moments) > per_user:
            moments = np.sort(random.choice(moments, per_user, replace=False))
        for moment in moments.tolist():
            history = rows[max(begin, moment - items) : moment][::-1]
            if rows[moment] not in history:
                joined.append(_SEPARATOR.join(texts[row] for row in history))
                nexts.append(rows[moment])
    if not joined:
        raise DataError(
            "no history with a next item was found: nobody took two different items; import more "
            "interactions, or use --set finetune.pairs=items"
        )
    places = np.arange(len(joined), dtype=np.int32) + len(texts)
    pairs = Pairs(
        places, np.asarray(nexts, np.int32),
        np.ones(len(joined), np.float32), np.zeros(len(joined), np.int8),
    )  # fmt: skip
    return [*texts, *joined], pairs
