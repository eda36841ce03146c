"""Texts of an exact number of word pieces, out of the words of real ones.

A text begins with the words of a drawn text of the catalogue. What does not fit is left out; what
is missing comes from the words of all texts. The tokeniser counts, at the end once more.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import BundleError

__all__ = ["fitted_texts", "pieces_of"]

_ENDS = 2  # [CLS] and [SEP]


def fitted_texts(
    lengths: npt.NDArray[np.int64],
    texts: Sequence[str],
    tokenizer: Tokenizer,
    generator: np.random.Generator,
) -> npt.NDArray[np.object_]:
    """object [n]: a text for each of `lengths`, with exactly so many word pieces.

    Args:
        lengths: int64 [n], [CLS] and [SEP] among the pieces; from 3.
        texts: of which the words are.
        tokenizer: one that cuts no text.

    Raises:
        BundleError: the vocabulary has no word of one piece, or counts otherwise than by words.
    """
    words = sorted(set(itertools.chain.from_iterable(text.split() for text in texts)))
    counts = pieces_of(words, tokenizer) - _ENDS
    pieces = dict(zip(words, counts.tolist(), strict=True))
    singles = [word for word in words if pieces[word] == 1] or _whole_words(tokenizer)
    made = np.empty(len(lengths), dtype=object)
    for place, length in enumerate(lengths.tolist()):
        beginning = texts[int(generator.integers(len(texts)))].split()
        made[place] = _fitted(length - _ENDS, beginning, pieces, singles, generator)
    wrong = np.flatnonzero(pieces_of(made.tolist(), tokenizer) != lengths)
    if len(wrong):
        raise BundleError(
            f"{made[wrong[0]]!r} was made for {lengths[wrong[0]]} word pieces, the tokeniser "
            "counts others; take texts of a file: tokens = \"file:PATH\""
        )  # fmt: skip
    return made


def pieces_of(texts: Sequence[str], tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """int64 [n]: word pieces of each text, [CLS] and [SEP] among them."""
    return np.fromiter(map(len, tokenizer.rows(texts)), np.int64, len(texts))


def _fitted(
    room: int,
    beginning: Sequence[str],
    pieces: dict[str, int],
    singles: Sequence[str],
    generator: np.random.Generator,
) -> str:
    taken = []
    for word in beginning:
        if 0 < pieces[word] <= room:
            taken.append(word)
            room -= pieces[word]
    every = list(pieces)
    while room:
        word = every[int(generator.integers(len(every)))]
        if not 0 < pieces[word] <= room:
            word = singles[int(generator.integers(len(singles)))]
        taken.append(word)
        room -= pieces.get(word, 1)
    return " ".join(taken)


def _whole_words(tokenizer: Tokenizer) -> list[str]:
    """Words of the vocabulary that are one piece, for catalogues that use none."""
    words = [word for word in tokenizer.vocab if word.isalnum()]
    counts = pieces_of(words, tokenizer) - _ENDS
    single = [word for word, count in zip(words, counts.tolist(), strict=True) if count == 1]
    if not single:
        raise BundleError("the bundle's vocabulary has no word of one piece; export it again")
    return single
