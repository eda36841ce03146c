"""The towers as the trainer has them: dictionaries, numpy and Keras, and no graph of ours.

The gates compare what was written against this. It shares no code with the graphs beyond the
weights, so that a mistake there cannot hide here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualtower_export.catalogue_index import CatalogueIndex
from dualtower_trainer.checkpoint import Trained, embed_texts
from dualtower_trainer.encoder import Encoder

__all__ = ["Reference"]

_ROWS = 100_000


class Reference:
    """Embeddings and rankings of a trained run.

    Args:
        trained: the run.
        encoder: its encoder.
        index: its catalogue.
    """

    def __init__(self, trained: Trained, encoder: Encoder, index: CatalogueIndex) -> None:
        self._trained, self._encoder, self._index = trained, encoder, index
        self._row_of_text = {
            text: int(row) for text, row in zip(index.distinct_texts, index.first_rows, strict=True)
        }
        self._row_of_id = {item_id: row for row, item_id in enumerate(index.item_ids)}

    def items(self, texts: Sequence[str | bytes]) -> np.ndarray:
        """float32 [n, dim] of texts alone, as an item that training never saw."""
        return embed_texts(self._encoder, self._trained.item_head, texts)

    def users_of_texts(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """float32 [users, dim] of histories of item texts, "" and repeats among them."""
        distinct = [self._distinct(history) for history in histories]
        unknown = sorted({t for texts in distinct for t in texts if t not in self._row_of_text})
        fresh = dict(zip(unknown, self.items(unknown), strict=True)) if unknown else {}
        vectors = self._trained.vectors
        return self._users(
            [
                [fresh[t] if t in fresh else vectors[self._row_of_text[t]] for t in texts]
                for texts in distinct
            ]
        )

    def users_of_item_ids(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """float32 [users, dim] of histories of item ids, unknown ones among them."""
        known = [[item_id for item_id in h if item_id in self._row_of_id] for h in histories]
        rows = [[self._row_of_id[item_id] for item_id in self._distinct(h)] for h in known]
        return self._users([list(self._trained.vectors[row]) for row in rows])

    def users_of_encoded_texts(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """float32 [users, dim] of item texts that all go through BERT, known or not.

        Texts that are the same word pieces, as after truncation, are repeats of one item here.
        """
        names = sorted({text for history in histories for text in history})
        pieces = dict(zip(names, map(tuple, self._encoder.tokenizer.rows(names)), strict=True))
        first: dict[tuple[int, ...], str] = {}
        for text in names:
            first.setdefault(pieces[text], text)
        distinct = [
            self._distinct([text and first[pieces[text]] for text in history])
            for history in histories
        ]
        names = sorted({text for texts in distinct for text in texts})
        fresh = dict(zip(names, self.items(names), strict=True)) if names else {}
        return self._users([[fresh[text] for text in texts] for texts in distinct])

    def scores(
        self, users: np.ndarray, seen: Sequence[Sequence[int]], exclude: Sequence[Sequence[str]]
    ) -> np.ndarray:
        """float64 [users, items]; -inf where an item is blocked, seen or excluded.

        Args:
            users: float32 [users, dim].
            seen: catalogue rows of each user's history.
            exclude: item ids, a list for each user.
        """
        vectors, people = self._trained.vectors, users.astype(np.float64)
        scores = np.empty((len(users), len(vectors)))
        for start in range(0, len(vectors), _ROWS):  # a table of a million is not copied as a whole
            part = vectors[start : start + _ROWS].astype(np.float64)
            scores[:, start : start + _ROWS] = people @ part.T
        scores[:, self._trained.blocked] = -np.inf
        for user, (rows, item_ids) in enumerate(zip(seen, exclude, strict=True)):
            scores[user, list(rows)] = -np.inf
            named = [self._row_of_id[item_id] for item_id in item_ids if item_id in self._row_of_id]
            scores[user, named] = -np.inf
        return scores

    def seen_of_texts(self, history: Sequence[str]) -> list[int]:
        """All catalogue rows with one of these texts."""
        known = [self._row_of_text[text] for text in history if text in self._row_of_text]
        return [int(same) for row in known for same in self._index.rows_of_same_text(row)]

    def seen_of_item_ids(self, history: Sequence[str]) -> list[int]:
        """The catalogue rows with one of these ids."""
        return [self._row_of_id[item_id] for item_id in history if item_id in self._row_of_id]

    def _distinct(self, history: Sequence[str]) -> list[str]:
        entries = dict.fromkeys(entry for entry in history if entry)
        return list(entries)[: self._trained.config.history_items]

    def _users(self, histories: list[list[np.ndarray]]) -> np.ndarray:
        longest = max([1, *map(len, histories)])
        items = np.zeros((len(histories), longest, self._trained.config.dim), np.float32)
        mask = np.zeros(items.shape[:2], np.float32)
        for row, vectors in enumerate(histories):
            if vectors:
                items[row, : len(vectors)] = vectors
                mask[row, : len(vectors)] = 1
        tower = self._trained.user_tower
        return tower({"items": items, "mask": mask}, training=False).numpy()
