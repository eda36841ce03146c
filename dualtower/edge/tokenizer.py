"""Text to BERT word pieces, outside of the graph. No TensorFlow, so that a phone's tools share it.

The ids are those of Hugging Face `tokenizers`. The other half is `tokenizer_graph`, which gives the
same inside a SavedModel. Both agree on every input because both are pinned to these rules:

- Bytes are read as UTF-8; what is not valid becomes U+FFFD, which is dropped like NUL and control
  characters. Text that normalises to nothing is [CLS] [SEP].
- A word of more than MAX_WORD_CHARACTERS, after normalisation, is one [UNK].
- Special tokens have no power in user text: "[SEP]" is read as "[", "sep", "]". (Hugging Face's
  default reads it as the separator, which lets a title cut itself in two.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from dualtower.errors import UsageError

__all__ = ["CLS", "MAX_WORD_CHARACTERS", "PAD", "SEP", "UNK", "Tokenizer", "read_vocab"]

PAD, UNK, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"

# BERT's own limit, which Hugging Face has in its tokenisers too
MAX_WORD_CHARACTERS = 100


def read_vocab(path: Path) -> list[str]:
    """The word pieces of a `vocab.txt`, one a line; the line number is the id.

    Raises:
        UsageError: the file is missing or no UTF-8.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the vocabulary {path} is not UTF-8: {error}") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


class Tokenizer:
    """Word pieces between [CLS] and [SEP], at most `max_tokens` of them together.

    Example:
        >>> tokenizer = Tokenizer.from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "tea", "##s"])
        >>> ids, mask = tokenizer(["Teas", ""])
        >>> ids.tolist()
        [[2, 4, 5, 3], [2, 3, 0, 0]]
    """

    def __init__(
        self, vocab: Sequence[str], *, lowercase: bool = True, max_tokens: int = 32
    ) -> None:
        if max_tokens < 2:
            raise UsageError(f"max_tokens must be at least 2 ([CLS] and [SEP]), got {max_tokens}")
        self.vocab, self.lowercase, self.max_tokens = list(vocab), lowercase, max_tokens
        rows = {piece: row for row, piece in enumerate(self.vocab)}
        if len(rows) != len(self.vocab):
            twice = next(piece for row, piece in enumerate(self.vocab) if rows[piece] != row)
            raise UsageError(f"the vocabulary has {twice!r} more than once")
        missing = [token for token in (PAD, UNK, CLS, SEP) if token not in rows]
        if missing:
            raise UsageError(
                f"the vocabulary lacks {', '.join(missing)}; it is no vocabulary of BERT"
            )
        self.pad_id, self.unk_id = rows[PAD], rows[UNK]
        self.cls_id, self.sep_id = rows[CLS], rows[SEP]
        model = models.WordPiece(rows, unk_token=UNK, max_input_chars_per_word=MAX_WORD_CHARACTERS)
        self._pieces = tokenizers.Tokenizer(model)
        self._pieces.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        self._pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    @classmethod
    def from_vocab(
        cls, vocab: Path | str | Sequence[str], lowercase: bool = True, max_tokens: int = 32
    ) -> Tokenizer:
        """A tokeniser from a `vocab.txt` or from a list of pieces."""
        pieces = read_vocab(Path(vocab)) if isinstance(vocab, (str, Path)) else vocab
        return cls(pieces, lowercase=lowercase, max_tokens=max_tokens)

    def __call__(self, texts: Sequence[str | bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask, int32 [n, longest], padded with [PAD]; longest is at least 2."""
        return self.pad(self.rows(texts))

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask of `rows`, int32 [n, longest]."""
        longest = max((len(row) for row in rows), default=2)
        ids = np.full((len(rows), longest), self.pad_id, np.int32)
        mask = np.zeros((len(rows), longest), np.int32)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        return ids, mask

    def rows(self, texts: Sequence[str | bytes]) -> list[list[int]]:
        """The ids of each text with [CLS] and [SEP], not padded."""
        if isinstance(texts, (str, bytes)):
            raise TypeError("texts must be a sequence of texts, got a single one")
        room = self.max_tokens - 2
        encodings = self._pieces.encode_batch(
            [_decode(text) for text in texts], add_special_tokens=False
        )
        return [[self.cls_id, *encoding.ids[:room], self.sep_id] for encoding in encodings]


def _decode(text: str | bytes) -> str:
    if isinstance(text, str):
        if text.isascii():
            return text
        # a lone surrogate has no UTF-8 form: it is invalid, like a broken byte
        text = text.encode("utf-8", errors="surrogatepass")
    elif not isinstance(text, bytes):
        raise TypeError(f"a text must be str or bytes, got {text!r}")
    return text.decode("utf-8", errors="replace")
