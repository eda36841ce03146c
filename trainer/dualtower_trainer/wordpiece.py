"""A WordPiece vocabulary learned from texts, the same on every run.

Byte-pair merges over word counts (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909), written
with BERT's `##` for a piece that continues a word. The trainer of Hugging Face `tokenizers` learns
the like, but breaks ties by the order of a hash map, so that two runs give two vocabularies.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from tokenizers import normalizers, pre_tokenizers

from dualtower.edge.tokenizer import CLS, MAX_WORD_CHARACTERS, PAD, SEP, UNK
from dualtower.errors import UsageError

__all__ = ["train_wordpiece", "words_of"]

_SPECIAL = (PAD, UNK, CLS, SEP, "[MASK]")
_CONTINUES = "##"
_MAX_WORDS = 30_000  # distinct words that merges are learned from, the most frequent ones

Pair = tuple[str, str]


def words_of(text: str) -> list[str]:
    """The lower-cased words and punctuation marks that BERT cuts into pieces."""
    normalised = _NORMALIZER.normalize_str(text)
    return [word for word, _ in _PRE_TOKENIZER.pre_tokenize_str(normalised)]


def train_wordpiece(texts: Iterable[str], *, size: int) -> list[str]:
    """At most `size` pieces: special tokens, characters by frequency, then merges in their order.

    Ties go to the pair that sorts first, so the result depends on the texts alone.

    Raises:
        UsageError: `size` leaves no room for a character.

    Example:
        >>> train_wordpiece(["tea tea teas"], size=12)[5:]
        ['##a', '##e', 't', '##s', '##ea', 'tea', 'teas']
    """
    if size <= len(_SPECIAL):
        raise UsageError(f"a vocabulary needs more than {len(_SPECIAL)} pieces, got size {size}")
    counts = Counter(word for text in texts for word in words_of(text))
    frequent = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:_MAX_WORDS]
    words = {word: count for word, count in frequent if len(word) <= MAX_WORD_CHARACTERS}
    pieces = [*_SPECIAL, *_characters(words)][:size]
    known = set(pieces)
    for merged in _merges(words):
        if len(pieces) >= size:
            break
        if merged not in known:
            known.add(merged)
            pieces.append(merged)
    return pieces


def _characters(words: Mapping[str, int]) -> list[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for piece in _spell(word):
            counts[piece] += count
    return [piece for piece, _ in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))]


def _spell(word: str) -> list[str]:
    return [word[0], *(_CONTINUES + letter for letter in word[1:])]


def _merges(words: Mapping[str, int]) -> Iterable[str]:
    """Merged pieces, the most frequent adjacent pair first, until every word is one piece."""
    spelled = [_spell(word) for word in words]
    counts = list(words.values())
    totals: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for row, pieces in enumerate(spelled):
        for pair in itertools.pairwise(pieces):
            totals[pair] += counts[row]
            places[pair].add(row)
    queue = [(-total, pair) for pair, total in totals.items()]
    heapq.heapify(queue)
    while queue:
        total, pair = heapq.heappop(queue)
        if -total != totals[pair]:  # an entry from before its count changed
            continue
        merged = pair[0] + pair[1].removeprefix(_CONTINUES)
        yield merged
        changed: Counter[Pair] = Counter()
        for row in places.pop(pair):
            old = spelled[row]
            spelled[row] = new = _join(old, pair, merged)
            for before in itertools.pairwise(old):
                changed[before] -= counts[row]
            for after in itertools.pairwise(new):
                changed[after] += counts[row]
                places[after].add(row)
        for neighbour, change in changed.items():
            if change:
                totals[neighbour] += change
                if totals[neighbour] > 0:
                    heapq.heappush(queue, (-totals[neighbour], neighbour))


def _join(pieces: list[str], pair: Pair, merged: str) -> list[str]:
    joined: list[str] = []
    place = 0
    while place < len(pieces):
        if tuple(pieces[place : place + 2]) == pair:
            joined.append(merged)
            place += 2
        else:
            joined.append(pieces[place])
            place += 1
    return joined


_NORMALIZER = normalizers.BertNormalizer(lowercase=True)
_PRE_TOKENIZER = pre_tokenizers.BertPreTokenizer()
