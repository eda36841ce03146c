"""Groups of near-duplicate texts against all pairs compared."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from dualtower_trainer.pairs import near_duplicate_groups


def shingles(text: str) -> set[str]:
    words = re.findall(r"\w+", text.casefold())
    return {*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))}


def brute(texts: list[str], jaccard: float) -> list[int]:
    """Connected components by comparing everything with everything."""
    sets = [shingles(text) for text in texts]
    group = list(range(len(texts)))
    for i, j in itertools.combinations(range(len(texts)), 2):
        union = len(sets[i] | sets[j])
        if union and len(sets[i] & sets[j]) / union >= jaccard:
            low, high = sorted((group[i], group[j]))
            group = [low if each == high else each for each in group]
    numbers: dict[int, int] = {}
    return [numbers.setdefault(each, len(numbers)) for each in group]


@pytest.mark.parametrize("jaccard", [0.2, 0.5, 0.6, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_equals_all_pairs_compared(jaccard, seed) -> None:
    random = np.random.default_rng(seed)
    words = [f"w{n}" for n in range(12)]
    chance = np.geomspace(1, 0.05, 12)
    texts = [
        " ".join(random.choice(words, random.integers(0, 9), p=chance / chance.sum()))
        for _ in range(120)
    ]
    texts += [texts[i] + " w3" for i in range(30)]
    assert near_duplicate_groups(texts, jaccard).tolist() == brute(texts, jaccard)


def test_spelling_is_normalised() -> None:
    texts = [
        "Red MUG, large!",
        "red mug  large",
        "ＲＥＤ mug\tlarge",
        "large red mug",
        "",
        "  ",
        "…",
    ]
    groups = near_duplicate_groups(texts)
    assert groups.tolist() == [0, 0, 0, 1, 2, 3, 4], "an empty text is nobody's duplicate"
    assert groups.dtype == np.int32


def test_two_lengths_of_the_same_text_and_a_chain_between() -> None:
    long = " ".join(f"word{n}" for n in range(30))
    texts = [long, f"{long} more", f"{long} more still", "something else"]
    assert near_duplicate_groups(texts, 0.96).tolist() == [0, 0, 0, 1]
    assert near_duplicate_groups(texts, 0.99).tolist() == [0, 1, 2, 3]
    assert near_duplicate_groups([]).tolist() == []


@pytest.mark.parametrize("jaccard", [0.0, -1.0, 1.01])
def test_a_threshold_out_of_range_is_refused(jaccard) -> None:
    with pytest.raises(ValueError, match="jaccard must be"):
        near_duplicate_groups(["a"], jaccard)
