"""The content of a catalogue as training reads it: encodings by a frozen BERT, the wide bag, and
vectors of another modality where there are any."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import sparse

from dualtower.files import atomic_file
from dualtower.progress import say
from dualtower_trainer.closed_form import TextFeatures
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.wide import WideVocabulary, build_wide_vocabulary

__all__ = ["ItemTexts", "centred_unit", "read_item_texts"]


@dataclass(frozen=True, eq=False)
class ItemTexts:
    """What is known of the texts of a catalogue, before any log is looked at.

    Attributes:
        encodings: float32 [items, hidden], the encoder's output.
        vocabulary: the grams of the wide part.
        bag: float32 [items, grams].
        vocabulary_size: pieces of the tokeniser.
        modal: float32 [items, width], vectors of another modality, zeros where an item has none;
            None when no item has one.
    """

    encodings: np.ndarray
    vocabulary: WideVocabulary
    bag: sparse.csr_matrix
    vocabulary_size: int
    modal: np.ndarray | None = None

    @cached_property
    def modal_mean(self) -> np.ndarray | None:
        """The mean float32 [width] of the vectors of another modality, of the items with one."""
        if self.modal is None:
            return None
        return np.asarray(self.modal[self.modal.any(axis=1)].mean(axis=0), np.float32)

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """The mean encoding of bool or int rows, float32 [hidden]."""
        return np.asarray(self.encodings[rows].mean(axis=0), np.float32)

    def features(
        self, mean: np.ndarray, dense_share: float, modal_share: float = 1.0
    ) -> TextFeatures:
        """Features of all items around a mean encoding."""
        features = TextFeatures.of(self.bag, self.encodings, mean, dense_share)
        if self.modal is None or self.modal_mean is None:
            return features
        centred = centred_unit(self.modal, self.modal_mean)
        return replace(features, modal=centred, modal_share=modal_share)


def centred_unit(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Rows float32 [n, width] around a mean, of length 1; a row of zeros, no vector, stays that."""
    centred = (vectors - mean) * vectors.any(axis=1, keepdims=True)
    length = np.sqrt(np.maximum((centred**2).sum(axis=1, keepdims=True), 1e-12))
    return np.asarray(centred / length, np.float32)


def read_item_texts(
    cached: Path,
    encoder: Encoder,
    texts: list[str],
    *,
    wide_grams: int,
    modal: np.ndarray | None = None,
) -> ItemTexts:
    """Encodes the texts, or reuses the file `cached` of the same encoder and texts."""
    ids, mask = encoder.tokenizer(texts)
    special = (encoder.tokenizer.cls_id, encoder.tokenizer.sep_id)
    vocabulary = build_wide_vocabulary(ids, mask, special_ids=special, max_grams=wide_grams)
    return ItemTexts(
        _encodings(cached, encoder, texts),
        vocabulary,
        vocabulary.bag(ids, mask),
        len(encoder.tokenizer.vocab),
        modal,
    )


def _encodings(path: Path, encoder: Encoder, texts: list[str]) -> np.ndarray:
    digest = hashlib.sha256(f"{encoder.sha256} {encoder.max_tokens}\n".encode())
    digest.update("\0".join(texts).encode())
    key = digest.hexdigest()
    if path.exists():
        try:
            with np.load(path) as stored:
                if str(stored["key"]) == key:
                    say(f"  reusing the encodings in {path}")
                    return np.asarray(stored["encodings"])
        except (OSError, ValueError, KeyError) as error:
            say(f"  {path} cannot be used ({error}); encoding again")
    encodings = encoder.encode(texts)
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, key=np.array(key), encodings=encodings)
    return encodings
