"""Where the words of a text are, so that a text can be read with some of them left out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Words", "words_of"]

# BERT reads each ideograph as a word of its own (the ranges of its own tokeniser); the rest of a
# text is parted by white space
_IDEOGRAPH = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002b81d\U0002b820-\U0002ceaf\U0002f800-\U0002fa1f"
)
_WORD = re.compile(f"[{_IDEOGRAPH}]|[^\\s{_IDEOGRAPH}]+")


@dataclass(frozen=True)
class Words:
    """A text and the spans of its words, in order.

    Example:
        >>> words = words_of("salted butter 250 g", most=10)
        >>> words.words
        ('salted', 'butter', '250', 'g')
        >>> words.keeping([True, False, True, True]).split()
        ['salted', '250', 'g']
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.text[begin:end] for begin, end in self.spans)

    def keeping(self, kept: Sequence[bool] | np.ndarray) -> str:
        """The text with a blank in the place of every word that is not kept."""
        parts, done = [], 0
        for (begin, end), keep in zip(self.spans, kept, strict=True):
            parts += [self.text[done:begin], self.text[begin:end] if keep else " "]
            done = end
        return "".join([*parts, self.text[done:]])


def words_of(text: str, *, most: int) -> Words:
    """The first `most` words of a text; what follows them is cut off."""
    spans = tuple(found.span() for found in itertools.islice(_WORD.finditer(text), most + 1))
    if len(spans) <= most:
        return Words(text, spans)
    spans = spans[:most]
    return Words(text[: spans[-1][1]] if spans else "", spans)
