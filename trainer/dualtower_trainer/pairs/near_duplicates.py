"""Items whose texts say the same, so that a batch does not call one the negative of the other.

Two texts are near-duplicates when they are equal after normalisation, or when the Jaccard index of
their shingles (words and pairs of neighbouring words) reaches a threshold. The search is exact:
two sets of Jaccard index t share an element among the rarest |x| - ⌈t·|x|⌉ + 1 of each, so only
texts that share a rare shingle are compared (Bayardo et al. 2007,
https://doi.org/10.1145/1242572.1242591).
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["near_duplicate_groups"]

_WORD = re.compile(r"\w+")


def near_duplicate_groups(texts: Sequence[str], jaccard: float = 0.9) -> npt.NDArray[np.int32]:
    """The group of each text, int32 [n]: near-duplicates, and theirs in turn, share a number.

    Groups are numbered from 0 by their first text. A text without a word is a group of its own.

    Args:
        texts: any strings.
        jaccard: above 0, at most 1; 1 groups texts with the same words and pairs of words.

    Example:
        >>> near_duplicate_groups(["Red mug, large", "RED  MUG large", "blue mug"]).tolist()
        [0, 0, 1]
    """
    if not 0 < jaccard <= 1:
        raise ValueError(f"jaccard must be above 0 and at most 1, got {jaccard}")
    parent = list(range(len(texts)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first_with: dict[tuple[str, ...], int] = {}
    distinct: dict[int, frozenset[str]] = {}
    for place, text in enumerate(texts):
        words = tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
        if not words:
            continue
        if words in first_with:
            parent[place] = first_with[words]
            continue
        first_with[words] = place
        distinct[place] = frozenset([*words, *map(" ".join, itertools.pairwise(words))])
    for one, other in _similar(distinct, jaccard):
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    roots = [root(place) for place in range(len(texts))]
    numbers: dict[int, int] = {}
    return np.asarray([numbers.setdefault(each, len(numbers)) for each in roots], np.int32)


def _similar(sets: dict[int, frozenset[str]], jaccard: float) -> list[tuple[int, int]]:
    """Pairs of keys whose sets have a Jaccard index of at least `jaccard`."""
    frequency = Counter(shingle for each in sets.values() for shingle in each)
    holders: defaultdict[str, list[int]] = defaultdict(list)
    found = []
    for key, own in sets.items():
        rare_first = sorted(own, key=lambda shingle: (frequency[shingle], shingle))
        prefix = rare_first[: len(own) - math.ceil(jaccard * len(own) - 1e-9) + 1]
        met = {other for shingle in prefix for other in holders[shingle]}
        for other in met:
            shared = len(own & sets[other])
            if shared >= jaccard * (len(own) + len(sets[other]) - shared) - 1e-9:
                found.append((other, key))
        for shingle in prefix:
            holders[shingle].append(key)
    return found
