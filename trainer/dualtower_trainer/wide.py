"""The wide part beside BERT: word pieces and pairs of neighbouring pieces, weighted by rarity.

BERT reads what a text means, the wide part which words it shares with others; on short titles the
second is often worth more. In numpy here, for training; wide_layer.py holds the same in a graph.

    text ─tokeniser─► piece ids ─► grams (pieces, neighbouring pairs) ─► Σ idf·row / √Σ idf²
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

__all__ = ["WideVocabulary", "build_wide_vocabulary"]


@dataclass(frozen=True, eq=False)
class WideVocabulary:
    """The grams that have a row in the table.

    Gram g is piece `pieces[g]` for g < len(pieces), else the pair `pairs[g - len(pieces)]`.

    Attributes:
        pieces: int32 [pieces], rising piece ids.
        pairs: int32 [pairs, 2], positions in `pieces` of two neighbouring pieces, in rising order.
        idf: float32 [pieces + pairs], ln((1 + n) / (1 + texts with the gram)) + 1.
    """

    pieces: np.ndarray
    pairs: np.ndarray
    idf: np.ndarray

    def __len__(self) -> int:
        return len(self.pieces) + len(self.pairs)

    def bag(self, ids: np.ndarray, mask: np.ndarray) -> sparse.csr_matrix:
        """float32 [texts, grams] of int32 ids and mask [texts, tokens]; rows of length 1 or 0.

        The length is √Σ idf² over occurrences, so a gram that is there twice counts twice in the
        row and twice under the root: a graph gets it by summing, without counting kinds.
        """
        texts = len(ids)
        if not len(self) or not ids.size:
            return sparse.csr_matrix((texts, len(self)), dtype=np.float32)
        # 0 stands for a piece without a row
        slots = np.searchsorted(self.pieces, ids).clip(max=len(self.pieces) - 1)
        slots = np.where((self.pieces[slots] == ids) & (mask > 0), slots + 1, 0)
        rows, places = np.nonzero(slots)
        found = [(rows, slots[rows, places] - 1)]
        if len(self.pairs):
            base = len(self.pieces) + 1
            keys = (self.pairs[:, 0] + 1).astype(np.int64) * base + self.pairs[:, 1] + 1
            wanted = slots[:, :-1].astype(np.int64) * base + slots[:, 1:]
            spot = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
            hit = (keys[spot] == wanted) & (slots[:, :-1] > 0) & (slots[:, 1:] > 0)
            rows, places = np.nonzero(hit)
            found.append((rows, spot[rows, places] + len(self.pieces)))
        rows, grams = (np.concatenate(part) for part in zip(*found, strict=True))
        weights = self.idf[grams].astype(np.float64)
        squares = np.bincount(rows, weights**2, minlength=texts)
        values = weights / np.sqrt(squares)[rows]
        matrix = sparse.coo_matrix((values, (rows, grams)), shape=(texts, len(self)))
        return sparse.csr_matrix(matrix, dtype=np.float32)


def build_wide_vocabulary(
    ids: np.ndarray,
    mask: np.ndarray,
    *,
    special_ids: Sequence[int],
    max_grams: int,
    min_texts: int = 2,
) -> WideVocabulary:
    """The grams of a catalogue.

    Args:
        ids: int32 [texts, tokens].
        mask: int32 of the same shape.
        special_ids: pieces that are no text, such as [CLS] and [SEP].
        max_grams: only the most frequent so many grams are kept.
        min_texts: a gram of fewer texts is left out, since nothing can be learned of it for
            another text.
    """
    special = set(special_ids)
    texts_with: Counter[tuple[int, ...]] = Counter()
    for row, real in zip(ids.tolist(), mask.tolist(), strict=True):
        words = [piece if keep and piece not in special else -1
                 for piece, keep in zip(row, real, strict=True)]  # fmt: skip
        grams: set[tuple[int, ...]] = {(piece,) for piece in words if piece >= 0}
        grams |= {pair for pair in itertools.pairwise(words) if pair[0] >= 0 and pair[1] >= 0}
        texts_with.update(grams)
    kept = [gram for gram, texts in texts_with.items() if texts >= min_texts]
    kept.sort(key=lambda gram: (-texts_with[gram], len(gram), gram))
    kept = kept[:max_grams]
    pieces = np.array(sorted(gram[0] for gram in kept if len(gram) == 1), np.int32)
    place = {int(piece): slot for slot, piece in enumerate(pieces)}
    pairs = sorted(
        (place[gram[0]], place[gram[1]])
        for gram in kept
        if len(gram) == 2 and gram[0] in place and gram[1] in place
    )
    named: list[tuple[int, ...]] = [(int(piece),) for piece in pieces]
    named += [(int(pieces[first]), int(pieces[second])) for first, second in pairs]
    idf = [np.log((1 + len(ids)) / (1 + texts_with[gram])) + 1 for gram in named]
    return WideVocabulary(
        pieces, np.array(pairs, np.int32).reshape(-1, 2), np.array(idf, np.float32)
    )
