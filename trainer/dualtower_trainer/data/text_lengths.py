"""How long the items' texts are: in word pieces where a vocabulary is at hand, else in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dualtower.cache import cache_folder
from dualtower.errors import UsageError

__all__ = ["cached_vocabulary", "text_lengths"]

_ENCODER = "minilm"
_NO_LIMIT = 1 << 20
_PIECE_TEXTS = 4096


def cached_vocabulary() -> Path | None:
    """The vocabulary of the default encoder, where `dualtower encoder fetch` has left it."""
    path = cache_folder("encoders", _ENCODER) / "vocab.txt"
    return path if path.is_file() else None


def text_lengths(
    texts: Sequence[str], vocabulary: Path | None
) -> tuple[npt.NDArray[np.int64], str]:
    """The length of each text, [CLS] and [SEP] included, and what it is counted in.

    Args:
        texts: any texts.
        vocabulary: a `vocab.txt`, or the folder of an encoder that holds one; None counts words.

    Raises:
        UsageError: the vocabulary cannot be read.

    >>> text_lengths(["a red cup", ""], None)
    (array([3, 0]), 'words')
    """
    if vocabulary is None:
        return np.array([len(text.split()) for text in texts], np.int64), "words"
    from dualtower.edge.tokenizer import Tokenizer

    path = vocabulary / "vocab.txt" if vocabulary.is_dir() else vocabulary
    if not path.is_file():
        raise UsageError(f"{vocabulary} has no vocab.txt; give the folder of a BERT encoder")
    tokenizer = Tokenizer.from_vocab(path, max_tokens=_NO_LIMIT)
    lengths = np.zeros(len(texts), np.int64)
    for begin in range(0, len(texts), _PIECE_TEXTS):
        rows = tokenizer.rows(list(texts[begin : begin + _PIECE_TEXTS]))
        lengths[begin : begin + len(rows)] = [len(row) for row in rows]
    return lengths, f"word pieces of {path.parent.name}, [CLS] and [SEP] included"
