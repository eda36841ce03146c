"""Real texts of every length that a server pads to, for the warm-up file.

A bucket stands for the lengths above the bucket before it. Where a catalogue has no text so long or
so short, one is put together from its words, and filled up with full stops: a mark of punctuation
is one word piece in every vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.length_buckets import bucket_of

__all__ = ["WarmupTexts"]

_FILLER = "."
_WORDS = 256  # words tried for a text of a length that the catalogue lacks


class WarmupTexts:
    """Texts by bucket, known ones and ones that the catalogue lacks.

    Args:
        texts: some of the catalogue's, at least one.
        known: all of them.
        tokenizer: that of the item tower.
        buckets: lengths in word pieces, rising, the last the longest text that there is.
    """

    def __init__(
        self,
        texts: Sequence[str],
        known: Collection[str],
        tokenizer: Tokenizer,
        buckets: Sequence[int],
    ) -> None:
        self._tokenizer, self._buckets, self._known = tokenizer, tuple(buckets), known
        self._words = [word for text in texts for word in text.split()][:_WORDS]
        self._shelf: dict[int, list[str]] = {bucket: [] for bucket in self._buckets}
        for text, pieces in zip(texts, tokenizer.rows(texts), strict=True):
            self._shelf[bucket_of(len(pieces), self._buckets)].append(text)
        for bucket, found in self._shelf.items():
            if not found:
                found.append(self._put_together(self._words, bucket))

    def batch(self, rows: int, bucket: int) -> list[str]:
        """`rows` texts, the first of the bucket and none longer than it."""
        shorter = [text for end, found in self._shelf.items() if end <= bucket for text in found]
        first = self._shelf[bucket][0]
        return [first, *(shorter[row % len(shorter)] for row in range(rows - 1))]

    def unknown(self, bucket: int, number: int) -> str:
        """A text of the bucket that is not in the catalogue: the words of one, in reverse."""
        found = self._shelf[bucket]
        words = found[number % len(found)].split()[::-1]
        turned = " ".join(words)
        if turned not in self._known and self._is_of(turned, bucket):
            return turned
        return self._put_together([*[_FILLER] * (1 + number % 2), *words], bucket)

    def _put_together(self, words: Sequence[str], bucket: int) -> str:
        kept: list[str] = []
        for word in [*words, *[_FILLER] * bucket]:
            longer = " ".join([*kept, word])
            if self._pieces(longer) <= bucket:
                kept.append(word)
                if self._is_of(longer, bucket) and longer not in self._known:
                    break
        return " ".join(kept)

    def _is_of(self, text: str, bucket: int) -> bool:
        return bucket_of(self._pieces(text), self._buckets) == bucket

    def _pieces(self, text: str) -> int:
        return len(self._tokenizer.rows([text])[0])
